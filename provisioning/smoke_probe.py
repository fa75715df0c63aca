"""Runs on the host, sent as standard input of its Python: is the engine what it should be?

Standard library only, Python 3.10 on. Prints one JSON object: ``checks`` (each ``name``, ``ok``,
``what``), ``tokens``, ``prompt_tokens``, ``ignore_eos``, ``seconds`` (of the completion).
"""

from __future__ import annotations

import functools
import glob
import http.client
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

PROMPT = "Hello"
#: A GPU that nothing runs on has less than that taken, by the driver itself.
IDLE_MIB = 1024


class RefusedError(Exception):
    """The engine's answer is not what it should be; the text says what it is."""


class Engine:
    """Asks one engine; its key is read on the host and printed nowhere."""

    def __init__(self, base_url: str, task: dict[str, Any]) -> None:
        self._base = base_url
        self._patience_s = task["timeout_s"]
        self._key = ""
        if task["api_key_file"]:
            with open(task["api_key_file"]) as file:  # noqa: PTH123 - few imports, quick start
                self._key = file.read().strip()
        # No proxy: the engine is on this host's loopback.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def ask(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """The answer to GET, or POST of *body*; JSON where it is some."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._base + path, data)
        request.add_header("Content-Type", "application/json")
        if self._key:
            request.add_header("Authorization", "Bearer " + self._key)
        try:
            with self._opener.open(request, timeout=self._patience_s) as reply:
                text = reply.read().decode(errors="replace")
        except urllib.error.HTTPError as error:
            text = error.read(400).decode(errors="replace")
            raise RefusedError(f"{path} answers {error.code}: {self._plain(text)}") from None
        except (OSError, http.client.HTTPException) as error:
            why = getattr(error, "reason", error)
            raise RefusedError(f"{path} does not answer: {why or type(error).__name__}") from None
        try:
            return json.loads(text)
        except ValueError:
            return text

    def _plain(self, text: str) -> str:
        line = " ".join(text.split())
        return line.replace(self._key, "[REDACTED]") if self._key else line


def models(engine: Engine, task: dict[str, Any]) -> str:
    """The model that was asked for is among those it serves; its context bounds the reply."""
    answer = engine.ask("/v1/models")
    try:
        served = {str(one["id"]): one for one in answer["data"]}
    except (KeyError, TypeError):
        raise RefusedError("/v1/models answers with something else than models") from None
    name = str(task["model"])
    if name not in served:
        raise RefusedError(f"it serves {', '.join(served) or 'no model'}, not {name}")
    longest = served[name].get("max_model_len")
    if isinstance(longest, int):
        task["tokens"] = max(1, min(task["tokens"], longest // 2))
    return name


def completion(engine: Engine, task: dict[str, Any]) -> dict[str, Any]:
    """One reply of as many tokens as were asked for; fewer only where the end cannot be ignored."""
    wanted, chat = task["tokens"], task["api"] == "chat"
    path = "/v1/chat/completions" if chat else "/v1/completions"
    said = {"messages": [{"role": "user", "content": PROMPT}]} if chat else {"prompt": PROMPT}
    body = {"model": task["model"], "max_tokens": wanted, "temperature": 0, **said}
    began, ignores = time.monotonic(), True
    try:
        answer = engine.ask(path, {**body, "ignore_eos": True})
    except RefusedError as error:
        if " answers 4" not in str(error):
            raise
        began, ignores = time.monotonic(), False
        answer = engine.ask(path, body)  # some do not know that key
    took = round(time.monotonic() - began, 3)
    try:
        usage, choice = answer["usage"], answer["choices"][0]
        tokens, prompt = int(usage["completion_tokens"]), int(usage["prompt_tokens"])
        why = choice["finish_reason"]
    except (KeyError, IndexError, TypeError, ValueError):
        raise RefusedError(f"{path} answers without choices, or without usage") from None
    short = tokens != wanted if ignores else not 0 < tokens <= wanted
    if short:
        raise RefusedError(f"{tokens} tokens came, {wanted} were asked for (finish reason: {why})")
    if prompt <= 0:
        raise RefusedError(f"it counts {prompt} tokens of the prompt")
    return {"tokens": tokens, "prompt_tokens": prompt, "ignore_eos": ignores, "seconds": took}


def family(pids: list[int]) -> set[int]:
    """*pids* and all processes that come from them."""
    parents = {}
    for path in glob.glob("/proc/[0-9]*/stat"):  # noqa: PTH207 - few imports, quick start
        try:
            with open(path, encoding="latin-1") as file:  # noqa: PTH123 - the same
                fields = file.read().rpartition(") ")[2].split()
        except OSError:
            continue
        parents[int(path.split("/")[2])] = int(fields[1])
    found = set(pids)
    while more := {one for one, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def gpu(task: dict[str, Any]) -> str:
    """Each engine has a process on a GPU; or, where none can be told, memory is taken."""
    if not shutil.which("nvidia-smi"):
        raise RefusedError("there is no nvidia-smi")
    apps = [row for row in smi("--query-compute-apps=pid,used_memory") if here(row[0])]
    families = {pid: family([pid]) for pid in task["pids"] if here(str(pid))}
    if apps and families:
        own = {n: [row for row in apps if int(row[0]) in of] for n, of in families.items()}
        if bare := [str(pid) for pid, rows in own.items() if not rows]:
            raise RefusedError(f"nothing of process {', '.join(bare)} is on a GPU, others are")
        return ", ".join(f"process {r[0]}: {r[1]} MiB" for rows in own.values() for r in rows)
    used = [row for row in smi("--query-gpu=index,memory.used") if row[1].isdigit()]
    taken = [row for row in used if int(row[1]) >= IDLE_MIB]
    if taken:
        return ", ".join(f"GPU {row[0]}: {row[1]} MiB" for row in taken)
    raise RefusedError("no GPU has any memory in use: the engine runs without")


def here(pid: str) -> bool:
    """There is such a process: in a container the driver may know them by other numbers."""
    return pid.isdigit() and os.path.exists(f"/proc/{pid}")  # noqa: PTH110 - few imports


def smi(query: str) -> list[list[str]]:
    """The rows of one question to nvidia-smi."""
    argv = ["nvidia-smi", query, "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        raise RefusedError(f"nvidia-smi does not answer: {error}") from None
    rows = [[part.strip() for part in line.split(",")] for line in done.stdout.splitlines()]
    return [row for row in rows if len(row) == 2] if done.returncode == 0 else []


class Checks:
    """What was looked at, and what was found."""

    def __init__(self) -> None:
        self.found: dict[str, Any] = {"checks": []}
        self.fine = True

    def see(self, name: str, what: Callable[[], Any]) -> None:
        """Make a check, if all before it were well."""
        if not self.fine:
            return
        try:
            told = what()
        except RefusedError as error:
            self.fine, told = False, str(error)
        if isinstance(told, dict):
            self.found.update(told)
            told = f"{told['tokens']} tokens in {told['seconds']} s"
        self.found["checks"].append({"name": name, "ok": self.fine, "what": str(told)})


def healthy(engine: Engine) -> str:
    """It says that it is well."""
    engine.ask("/health")
    return "answers"


def smoke(task: dict[str, Any]) -> dict[str, Any]:
    """All checks, up to the first that fails."""
    checks = Checks()
    for number, url in enumerate(task["base_urls"], 1):
        which = f" {number}" if len(task["base_urls"]) > 1 else ""
        try:
            engine = Engine(url, task)
        except OSError as error:
            return {"checks": [{"name": "key", "ok": False, "what": str(error.strerror)}]}
        checks.see(f"health{which}", functools.partial(healthy, engine))
        checks.see(f"models{which}", functools.partial(models, engine, task))
        checks.see(f"completion{which}", functools.partial(completion, engine, task))
    if task["gpu"]:
        checks.see("gpu", lambda: gpu(task))
    return checks.found


if __name__ == "__main__":
    print(json.dumps(smoke(json.loads(sys.argv[1]))))
