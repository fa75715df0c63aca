"""Runs on the host, sent as standard input of the tool's Python: one point by compressa-perf.

Standard library only. Prints JSON lines: ``beat``, ``tell``, then ``end`` with either ``reason``
(why there are no figures) or ``figures`` and ``max_tokens``. The engine's key goes to the tool
by a pipe, and stands in no file and no argument.
"""

from __future__ import annotations

import csv
import itertools
import json
import os
import random
import shutil
import signal
import sqlite3
import statistics
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

LOG, DB, PROMPTS = "compressa.log", "compressa-perf-db.sqlite", "prompts.csv"
BEAT_S = 5.0
#: Nothing listens there: the tool asks for GPUs, and would ask a port of its own choice.
NOBODY = "http://127.0.0.1:9/v1/"
_MOST_LINES = 2_000_000
_SHORTEST = 1000
#: Held while the tool is started, and for good by who ends everything.
STARTING = threading.Lock()
RUNNING: list[tuple[subprocess.Popen[bytes], dict[str, Any]]] = []
_SQL = "SELECT n_input, n_output, ttft, start_time, end_time, status FROM Measurements"


def prompts(task: dict[str, Any]) -> list[dict[str, Any]]:
    """Requests like the agent's, which were never sent before."""
    done = subprocess.run(task["prompts"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip()[-300:] or "the agent made no prompts")
    return [json.loads(line) for line in done.stdout.splitlines()]


def drawn(count: int) -> tuple[int, int, list[int]]:
    """Lines of a file, a seed, and the lines that the tool will draw with it: none twice.

    It draws from all prompts for each request, so that some would be sent again and come from
    the engine's prefix cache. Of a file that is long enough it draws other ones each time.
    """
    lines = min(max(count * count, _SHORTEST), _MOST_LINES)
    for seed in itertools.count(1):
        generator = random.Random(seed)  # noqa: S311 - the tool's own
        picked = [generator.choice(range(lines)) for _ in range(count)]
        if len(set(picked)) == count or seed >= 200:
            return lines, seed, picked
    raise AssertionError  # the loop has no other end


def write_prompts(path: Path, texts: list[str]) -> int:
    """The file with each of *texts* where it will be drawn, in order; the seed for that."""
    lines, seed, picked = drawn(len(texts))
    rows = dict(zip(picked, texts, strict=True))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL)
        writer.writerows([rows.get(number, "-")] for number in range(lines))
    return seed


def config(task: dict[str, Any], seed: int, longest: int, max_tokens: int) -> dict[str, Any]:
    """What the tool reads, but for the key."""
    return {
        "openai_url": task["base_url"] + "/v1/",
        "serv_api_url": NOBODY,
        "model_name": task["model"],
        "experiment_name": task["name"],
        "description": "llm-dyno",
        "num_tasks": task["requests"],
        "num_runners": task["at_once"],
        "generate_prompts": False,
        "prompts_file": PROMPTS,
        "prompt_length": longest,
        "max_tokens": max_tokens,
        "report_file": "report",
        "report_mode": "md",
        "seed": seed,
    }


def play(task: dict[str, Any], settings: dict[str, Any], key: str) -> str:
    """Run the tool to its end, or to the limit; why it did not end well, or nothing."""
    env = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(Path.cwd()), "NO_PROXY": "*"}
    argv = [task["program"], "measure-from-yaml", "--db", DB, "/dev/stdin"]
    whole = json.dumps([settings | {"api_key": key or "EMPTY"}])  # JSON is YAML
    with open(LOG, "wb") as log:  # noqa: PTH123 - few imports
        with STARTING:
            tool = subprocess.Popen(
                argv, stdin=subprocess.PIPE, stdout=log, stderr=log, env=env, start_new_session=True
            )
            RUNNING[:] = [(tool, task)]
        try:
            tool.communicate(whole.encode(), timeout=task["limit_s"])
        except subprocess.TimeoutExpired:
            return f"it did not end within {task['limit_s']:.0f} s"
        finally:
            end(tool)
    return "" if tool.returncode == 0 else f"it ended with {tool.returncode}"


def end(tool: subprocess.Popen[bytes]) -> None:
    """Nothing of it is left."""
    if tool.poll() is None:
        os.killpg(tool.pid, signal.SIGKILL)
        tool.wait()


def cut() -> None:
    """Nobody listens any more: the tool must not go on beside another measurement."""
    STARTING.acquire()
    for tool, task in RUNNING:
        end(tool)
        shutil.rmtree(task["folder"], ignore_errors=True)  # nobody comes for it
    os._exit(1)


def figures() -> dict[str, float]:
    """From its database: each request's, in seconds, and its own averages of them."""
    base = sqlite3.connect(DB)
    try:
        rows = base.execute(_SQL).fetchall()
        own = dict(base.execute("SELECT metric_name, metric_value FROM Metrics").fetchall())
    finally:
        base.close()
    good = [row for row in rows if str(row[5]).upper().endswith("SUCCESS")]
    if not good:
        return {"completed": 0, "failed": len(rows)}
    took = max(row[4] for row in good) - min(row[3] for row in good)
    names = {
        "TTFT": ("mean_ttft_ms", 1e3),
        "LATENCY": ("mean_e2el_ms", 1e3),
        "TPOT": ("e2el_per_output_token_ms", 1e3),
        "THROUGHPUT_INPUT_TOKENS": ("input_throughput", 1.0),
        "THROUGHPUT_OUTPUT_TOKENS": ("output_throughput", 1.0),
        "RPS": ("request_throughput", 1.0),
    }
    counted = {
        "completed": len(good),
        "failed": len(rows) - len(good),
        "duration_s": took,
        "median_ttft_ms": statistics.median(row[2] for row in good) * 1e3,
        "median_e2el_ms": statistics.median(row[4] - row[3] for row in good) * 1e3,
        "input_tokens": sum(row[0] for row in good),
        "output_tokens": sum(row[1] for row in good),
    }
    return counted | {
        name: own[theirs] * unit for theirs, (name, unit) in names.items() if theirs in own
    }


def rounds(at_once: int) -> tuple[float, float] | None:
    """Mean TTFT in ms of the requests that were sent first, and of all others; None: no others."""
    base = sqlite3.connect(DB)
    try:
        ttfts = [row[2] * 1e3 for row in sorted(base.execute(_SQL).fetchall(), key=lambda r: r[3])]
    finally:
        base.close()
    first, others = ttfts[:at_once], ttfts[at_once:]
    return (statistics.mean(first), statistics.mean(others)) if others else None


def without_key(key: str) -> None:
    """Nothing that comes home holds it."""
    for path in map(Path, (LOG, DB)):
        if key and path.exists() and key.encode() in (text := path.read_bytes()):
            path.write_bytes(text.replace(key.encode(), b"*" * len(key)))


def measured(task: dict[str, Any]) -> dict[str, Any]:
    """All of it."""
    os.chdir(task["folder"])
    key = Path(task["api_key_file"]).read_text().strip() if task["api_key_file"] else ""
    asked = prompts(task)
    texts = [str(one["prompt"]) for one in asked]
    lengths = sorted({one["max_tokens"] for one in asked})
    seed = write_prompts(Path(PROMPTS), texts)
    settings = config(task, seed, max(map(len, texts)), lengths[-1])
    Path("config.json").write_text(json.dumps([settings], indent=1))
    try:
        trouble = play(task, settings | {"num_tasks": len(texts)}, key)
    finally:
        Path(PROMPTS).unlink()
        without_key(key)
    found = figures() if Path(DB).exists() else {}
    if not found.get("completed"):
        last = [line for line in Path(LOG).read_text(errors="replace").splitlines() if line.strip()]
        why = trouble or f"{found.get('failed', 0)} of its requests failed, and none succeeded"
        return {"reason": f"{why}: {last[-1][-200:] if last else 'it said nothing'}"}
    told = {"figures": found, "lengths": lengths, "trouble": trouble}
    return told | {"rounds": rounds(task["at_once"])}


def main() -> None:
    """Beat while it is at work, so that the connection is not taken for dead."""
    over = threading.Event()

    def beat() -> None:
        try:
            while not over.wait(BEAT_S):
                print('{"beat": 1}', flush=True)
        except OSError:
            cut()

    beating = threading.Thread(target=beat, daemon=True)
    beating.start()
    try:
        end = measured(json.loads(sys.argv[1]))
    except (OSError, RuntimeError, ValueError, sqlite3.Error) as error:
        end = {"reason": f"it could not be run: {error}"}
    over.set()
    beating.join()  # one that ends everything is not to be left half-way
    print(json.dumps({"end": end}), flush=True)


if __name__ == "__main__":
    os.umask(0o077)
    main()
