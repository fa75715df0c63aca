"""Stands for `docker` (and `sudo`): one container, a process of this machine, kept in a folder.

Its folder is ``$FAKE_DOCKER``; each call is a line of ``calls`` there. A file ``closed`` shuts it
to everybody but root, ``fail`` (once) or ``broken`` is what ``run`` says instead of running.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

IMAGE = "fake/image:1"
CID = "c0ffee"
HERE = Path(os.environ.get("FAKE_DOCKER", "."))
STATE, LOG, NETWORK = HERE / "container", HERE / "container.log", HERE / "network"


def main(argv: list[str]) -> int:
    """Do what is asked, and write down that it was."""
    with (HERE / "calls").open("a", encoding="utf-8") as calls:
        calls.write(f"{json.dumps([os.environ.get('FAKE_ROOT', ''), *argv])}\n")
    if (HERE / "closed").exists() and not os.environ.get("FAKE_ROOT"):
        print("permission denied while trying to connect", file=sys.stderr)
        return 1
    verb, rest = argv[0], argv[1:]
    verbs: dict[str, Callable[[], int | None]] = {
        "ps": lambda: _say(CID if STATE.exists() else ""),
        "run": lambda: _run(rest),
        "compose": lambda: 0 if rest == ["version"] else _compose(rest),
        "inspect": lambda: _say(_status() if "Status" in rest[1] else str(_running())),
        "logs": lambda: _logs(follow="--follow" in rest),
        "stop": _stop,
        "rm": _remove,
        "network": lambda: _network(rest[0]),
    }
    return verbs.get(verb, lambda: 0)() or 0


def _say(text: str) -> None:
    if text:
        print(text)


def _run(words: list[str]) -> int:
    at = words.index(IMAGE)
    options = list(itertools.pairwise(words[:at]))
    pairs = [value.partition("=") for option, value in options if option == "--env"]
    entry = [value for option, value in options if option == "--entrypoint"]
    return _start([*entry, *words[at + 1 :]], {name: value for name, _, value in pairs})


def _compose(words: list[str]) -> int:
    NETWORK.touch()
    (HERE / "compose.json").write_text(json.dumps(read_compose(Path("compose.yaml").read_text())))
    service = json.loads((HERE / "compose.json").read_text())["services"]["engine"]
    assert words[-3:] == ["up", "--detach", "--no-build"], words
    argv = [*service.get("entrypoint", []), *service["command"]]
    return _start(argv, service.get("environment", {}))


def read_compose(text: str, port: str = os.environ.get("DYNO_PORT", "")) -> dict[str, object]:
    """A file as Compose understands it: variables in values are filled in."""

    def filled(value: object) -> object:
        if isinstance(value, dict):
            return {key: filled(each) for key, each in value.items()}
        if isinstance(value, list):
            return [filled(each) for each in value]
        return re.sub(r"\$(\$|\{DYNO_PORT\}|.*)", put, value) if isinstance(value, str) else value

    def put(found: re.Match[str]) -> str:
        known = {"$": "$", "{DYNO_PORT}": port}
        return known[found[1]]  # anything else Compose would look up, or refuse

    sys.path.append(os.environ.get("FAKE_SITE", ""))
    import yaml  # most calls do without

    document: dict[str, object] = filled(yaml.safe_load(text))  # type: ignore[assignment] # it is one
    return document


def _start(argv: list[str], env: dict[str, str]) -> int:
    if STATE.exists():
        print("Conflict. The container name is already in use", file=sys.stderr)
        return 125
    STATE.write_text("0")
    for name in ("fail", "broken"):
        if (HERE / name).exists():
            print((HERE / name).read_text(), file=sys.stderr)
            (HERE / "fail").unlink(missing_ok=True)
            return 125
    given = dict(line.split("=", 1) for line in Path("env").read_text().splitlines())
    with LOG.open("ab") as log:
        process = subprocess.Popen(
            argv,
            env=os.environ | given | env,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    STATE.write_text(str(process.pid))
    if os.environ.get("FAKE_WAIT"):
        process.wait()
    _say(CID)
    return 0


def _running() -> int:
    """Its process; 0 when that is over."""
    with suppress(OSError, ValueError):
        pid = int(STATE.read_text())
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
        return 0 if state in "ZX" else pid
    return 0


def _status() -> str:
    return "running" if _running() else "exited"


def _logs(*, follow: bool) -> int:
    if not STATE.exists():
        return 1
    with LOG.open("rb") as log:
        while True:
            over = not follow or not _running()
            sys.stdout.buffer.write(log.read())
            sys.stdout.flush()
            if over:
                return 0
            time.sleep(0.02)


def _stop() -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + 1
        while (pid := _running()) and time.monotonic() < deadline:
            os.kill(pid, number)
            time.sleep(0.05)


def _remove() -> None:
    _stop()
    STATE.unlink(missing_ok=True)
    LOG.unlink(missing_ok=True)


def _network(verb: str) -> None:
    if verb == "ls":
        _say("n1" if NETWORK.exists() else "")
    else:
        NETWORK.unlink()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
