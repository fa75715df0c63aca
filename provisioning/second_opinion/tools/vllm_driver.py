"""Runs on the host, sent as standard input of a Python: one point by ``vllm bench serve``.

Standard library only. Prints JSON lines: ``beat``, then ``end`` with either ``reason`` (why there
are no figures) or ``result`` (the tool's own file) and ``version``. It is run where the engine is:
by the program beside the engine's own, or in another container of the engine's image. The
engine's key is in its environment, and in no file and no argument.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

LOG, RESULT = "vllm-bench.log", "result.json"
BEAT_S = 5.0
#: Where its folder is seen in a container.
INSIDE = "/opinion"
#: Held while the tool is started, and for good by who ends everything.
STARTING = threading.Lock()
RUNNING: list[tuple[subprocess.Popen[bytes], dict[str, Any], dict[str, Any]]] = []


def command(task: dict[str, Any], engine: dict[str, Any]) -> list[str]:
    """The tool with its arguments, as it was the engine's."""
    model = tokenizer(engine)
    inside = engine.get("container")
    folder = INSIDE if inside else task["folder"]
    words = ["bench", "serve", *task["args"], "--tokenizer", model]
    words += ["--save-result", "--result-dir", folder, "--result-filename", RESULT]
    if not inside:
        return [str(Path(engine["argv"][0]).with_name("vllm")), *words]
    given = [w for name in environment(engine) for w in ("--env", name)]
    mounts = ["--volumes-from", f"{task['container']}:ro", "--volume", f"{task['folder']}:{INSIDE}"]
    run = ["docker", "run", "--rm", "--name", f"{task['container']}-opinion", "--network", "host"]
    return [*run, *mounts, *given, "--env", "OPENAI_API_KEY", "--entrypoint", "vllm",
            inside["image"], *words]  # fmt: skip


def tokenizer(engine: dict[str, Any]) -> str:
    """The folder of the model's files, as the engine sees it."""
    argv, env = engine["argv"], engine["env"]
    after = "--model" if "--model" in argv else "serve"
    model = str(argv[argv.index(after) + 1])
    if "--revision" not in argv or "HF_HOME" not in env:
        return model
    commit = argv[argv.index("--revision") + 1]
    return f"{env['HF_HOME']}/hub/models--{model.replace('/', '--')}/snapshots/{commit}"


def environment(engine: dict[str, Any]) -> dict[str, str]:
    """What of the engine's environment is the tool's too: where files are, and to ask no hub."""
    kept = ("HF_", "TRANSFORMERS_", "XDG_", "VLLM_CACHE", "VLLM_NO_USAGE", "DO_NOT_TRACK")
    return {name: value for name, value in engine["env"].items() if name.startswith(kept)}


def play(task: dict[str, Any], engine: dict[str, Any], key: str) -> str:
    """Run the tool to its end, or to the limit; why it did not end well, or nothing."""
    own = {name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ}
    env = own | {"HOME": task["folder"], "NO_PROXY": "*", "OPENAI_API_KEY": key or "EMPTY"}
    with Path(LOG).open("wb") as log:
        with STARTING:
            tool = subprocess.Popen(
                command(task, engine), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=env | environment(engine), start_new_session=True,
            )  # fmt: skip
            RUNNING[:] = [(tool, task, engine)]
        try:
            tool.wait(task["limit_s"])
        except subprocess.TimeoutExpired:
            return f"it did not end within {task['limit_s']:.0f} s"
        finally:
            end(tool, task, engine)
    return "" if tool.returncode == 0 else f"it ended with {tool.returncode}"


def end(tool: subprocess.Popen[bytes], task: dict[str, Any], engine: dict[str, Any]) -> None:
    """Nothing of it is left, in a container either."""
    if tool.poll() is not None:
        return
    os.killpg(tool.pid, signal.SIGKILL)
    tool.wait()
    if engine.get("container"):
        name = f"{task['container']}-opinion"
        subprocess.run(["docker", "rm", "--force", name], capture_output=True, check=False)


def cut() -> None:
    """Nobody listens any more: the tool must not go on beside another measurement."""
    STARTING.acquire()
    for tool, task, engine in RUNNING:
        end(tool, task, engine)
        shutil.rmtree(task["folder"], ignore_errors=True)  # nobody comes for it
    os._exit(1)


def measured(task: dict[str, Any]) -> dict[str, Any]:
    """All of it."""
    os.chdir(task["folder"])
    engine = json.loads(Path(task["manifest"]).read_text())["context"]["engine"]
    key = Path(task["api_key_file"]).read_text().strip() if task["api_key_file"] else ""
    before = set(Path().iterdir())
    trouble = play(task, engine, key)
    kept = {Path(LOG), Path(RESULT)} | before
    for path in set(Path().iterdir()) - kept:  # caches of its libraries
        subprocess.run(["rm", "-rf", str(path)], check=False)
    log = Path(LOG).read_text(errors="replace")
    if key and key in log:
        log = log.replace(key, "*" * len(key))
        Path(LOG).write_text(log)
    if trouble or not Path(RESULT).exists():
        last = [line for line in log.splitlines() if line.strip()]
        why = trouble or "it wrote no result"
        return {"reason": f"{why}: {last[-1][-200:] if last else 'it said nothing'}"}
    return {"result": json.loads(Path(RESULT).read_text())}


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
        said = measured(json.loads(sys.argv[1]))
    except (OSError, ValueError, LookupError) as error:
        said = {"reason": f"it could not be run: {type(error).__name__}: {error}"}
    over.set()
    beating.join()  # one that ends everything is not to be left half-way
    print(json.dumps({"end": said}), flush=True)


if __name__ == "__main__":
    os.umask(0o077)
    main()
