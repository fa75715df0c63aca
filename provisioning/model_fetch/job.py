"""One download as a process of its own: started once, whoever asks; stopped by its group."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from provisioning.model_fetch.failure import Failure, words
from provisioning.model_fetch.hub import fetch
from provisioning.model_fetch.plan import Plan
from provisioning.model_fetch.texts import write_json

LOOK_S = 1.0
GRACE_S = 5.0
#: What is done: of a folder, its task and the hub's token it makes what stands in the result.
Work = Callable[[Path, dict[str, Any], "str | None"], dict[str, Any]]
_OFF = ("XET", "PROGRESS_BARS", "TELEMETRY", "IMPLICIT_TOKEN", "SYMLINKS_WARNING")


def main(work: Work) -> None:
    """Do what the arguments ask for; say in a word or two what came of it."""
    verb, folder = sys.argv[1], Path(sys.argv[2])
    # Our settings, not the login's. Without Xet, bytes on disk grow in order: one can go on there.
    for name in [name for name in os.environ if name.startswith(("HF_", "HUGGING"))]:
        del os.environ[name]
    os.environ.update({f"HF_HUB_DISABLE_{what}": "1" for what in _OFF})
    os.umask(0o077)
    print(start(folder, work) if verb == "start" else stop(folder))


def start(folder: Path, work: Work) -> str:
    """Begin the work; ``running`` if it runs already."""
    token = take_token(folder)
    lock = locked(folder, wait_s=1.0)
    if lock is None:
        return "running"
    for name in ("pid", "status.json", "result.json"):
        (folder / name).unlink(missing_ok=True)
    pid = os.fork()
    if pid:
        (folder / "pid").write_text(f"{pid}\n")
        return "started"
    try:
        detach(folder, lock)
        run(folder, token, work)
    finally:
        os._exit(0)


def stop(folder: Path) -> str:
    """End the download; what it has brought stays."""
    if locked(folder, wait_s=0.0) is not None:
        return "not running"
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(OSError, ValueError):
            os.killpg(int((folder / "pid").read_text()), number)
        if locked(folder, wait_s=GRACE_S) is not None:
            return "stopped"
    return "still running"


def take_token(folder: Path) -> str | None:
    """Read the token and remove it: from here on it is in memory only."""
    path = folder / "token"
    try:
        return path.read_text().strip() or None
    except OSError:
        return None
    finally:
        path.unlink(missing_ok=True)


def locked(folder: Path, wait_s: float) -> int | None:
    """The lock, held until this process and its children end; None when another has it."""
    handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    deadline = time.monotonic() + wait_s
    while not _flock(handle):
        if time.monotonic() >= deadline:
            os.close(handle)
            return None
        time.sleep(0.02)
    return handle


def detach(folder: Path, lock: int) -> None:
    """Leave the session and its streams, so that nobody's end is ours."""
    os.setsid()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    os.chdir("/")
    log = os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for number, stream in enumerate((os.open(os.devnull, os.O_RDONLY), log, log)):
        os.dup2(stream, number)
    os.closerange(3, lock)
    os.closerange(lock + 1, 1024)
    os.umask(0o022)  # a model is no secret: containers read it as another user


def fetched(folder: Path, task: dict[str, Any], token: str | None) -> dict[str, Any]:
    """The work of a download."""
    with watched(folder / "status.json") as plans:
        return fetch(task, token, plans)


def run(folder: Path, token: str | None, work: Work) -> None:
    """Do the work of ``task.json``, and write how it went."""
    began = time.monotonic()
    task = json.loads((folder / "task.json").read_text())
    try:
        result = {"state": "done", **work(folder, task, token)}
    except Failure as failure:
        result = {"state": "failed", "kind": failure.kind, "detail": failure.detail}
        result.update(failure.figures)
    except Exception as error:  # noqa: BLE001 - nobody else would ever hear of it
        traceback.print_exc()
        result = {"state": "failed", "kind": "other", "detail": words(error)}
    result |= {"with_token": token is not None, "seconds": round(time.monotonic() - began, 3)}
    write_json(folder / "result.json", result, token)


@contextlib.contextmanager
def watched(path: Path) -> Iterator[list[Plan]]:
    """Write each second how far the newest plan is."""
    plans: list[Plan] = []
    over = threading.Event()

    def look() -> None:
        while not over.wait(LOOK_S if path.exists() else 0.02):
            if plans:
                write_json(path, {"done": plans[-1].done(), "total": plans[-1].total})

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        yield plans
    finally:
        over.set()
        watcher.join()


def _flock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
