"""The program that waits on the host."""

from __future__ import annotations

import ast
import http.server
import json
import os
import socket
import subprocess
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from provisioning import readiness_probe as probe


def me(**changes: Any) -> dict[str, Any]:
    """A task that watches this very process."""
    stat = Path("/proc/self/stat").read_text().rpartition(") ")[2].split()
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    task = {"pid": os.getpid(), "pid_started": int(stat[19]), "boot_id": boot}
    return task | {"timeout_s": 0.0, "log": "/nowhere", "api_key_file": None} | changes


@pytest.fixture
def log(tmp_path: Path) -> tuple[probe.Log, Path]:
    path = tmp_path / "log"
    return probe.Log(str(path)), path


def test_a_process_is_known_by_start_and_boot() -> None:
    """The same number with another start or boot is another process."""
    asked = [me(), me(pid_started=1), me(boot_id="x"), me(pid=2**22 + 1)]
    assert [True, False, False, False] == [probe.alive(task) for task in asked]


def test_a_zombie_is_not_alive() -> None:
    """In containers nobody may reap it."""
    with subprocess.Popen(["true"]) as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        stat = Path(f"/proc/{child.pid}/stat").read_text().rpartition(") ")[2].split()
        assert not probe.alive(me(pid=child.pid, pid_started=int(stat[19])))


def test_lines_are_told_when_they_are_whole(log: tuple[probe.Log, Path]) -> None:
    """A rest waits for its end; a progress bar's redrawing ends a line; blank ones are left out."""
    reader, path = log
    news = [reader.news()]
    for data in (b"one\ntw", b"o\n\n", b"10%\r20%\r", b"\xff last"):
        with path.open("ab") as file:
            file.write(data)
        news.append(reader.news())
    assert [[], ["one"], ["two"], ["10%", "20%"], []] == news
    assert (["\ufffd last"], ["one", "two", "10%", "20%", "\ufffd last"]) == (
        reader.close(),
        list(reader.tail),
    )


def test_a_bar_that_stands_still_is_told(log: tuple[probe.Log, Path]) -> None:
    """Once, though its line has no end; not again when it ends as it was."""
    reader, path = log
    news = []
    for data in (b"load 1/2\rload 2/2", b"", b"", b"\nnext\nhalf", b"", b" and half\n"):
        with path.open("ab") as file:
            file.write(data)
        news.append(reader.news())
    assert [["load 1/2"], ["load 2/2"], [], ["next"], ["half"], ["half and half"]] == news
    assert ["load 1/2", "load 2/2", "next", "half and half"] == list(reader.tail)


def test_the_end_of_a_log_may_be_a_whole_line(log: tuple[probe.Log, Path]) -> None:
    """Then closing adds nothing."""
    reader, path = log
    path.write_text("one\n")
    assert ["one"] == reader.close()


def test_long_lines_and_long_logs_are_cut(log: tuple[probe.Log, Path]) -> None:
    """What is told fits on a screen."""
    reader, path = log
    path.write_text("".join(f"{n} {'x' * 900}\n" for n in range(50)))
    reader.news()
    assert (probe.TAIL, {probe.LONGEST_LINE}) == (len(reader.tail), {len(x) for x in reader.tail})


def test_nobody_there_is_an_answer() -> None:
    """Refused, not answered in HTTP, an address that is none."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert "refused" in probe.answer(me(url=f"http://127.0.0.1:{port}/health"))


def test_a_reply_that_is_no_http_is_an_answer() -> None:
    """Something else may listen there."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        asking = subprocess.Popen(
            [
                sys.executable,
                "-c",
                f"from provisioning import readiness_probe as p; print(p.answer({me(url=f'http://127.0.0.1:{port}/')}))",
            ],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        connection, _ = server.accept()
        with connection:
            connection.recv(1000)
            connection.sendall(b"SSH-2.0-x\r\n")
        told, _ = asking.communicate(timeout=20)
    assert ("SSH-2.0-x", 0) == (told.strip(), asking.returncode)


def test_it_says_something_each_second_and_then_the_end(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a clock that runs as it is told; slower once the first seconds are over."""
    clock, naps = [0.0], []

    def nap(seconds: float) -> None:
        naps.append(seconds)
        clock[0] += seconds

    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(time, "sleep", nap)
    monkeypatch.setattr(probe, "answer", lambda _: "503")
    probe.watch(me(timeout_s=8.0))
    messages = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {"seconds": 8.0, "end": "late", "answer": "503", "tail": []} == messages[-1] | {
        "seconds": round(messages[-1]["seconds"])
    }
    gaps = [b["seconds"] - a["seconds"] for a, b in pairwise([{"seconds": 0}, *messages])]
    assert (8, True) == (len(gaps), max(gaps) <= 1.5)
    assert {0.05, 0.5} == set(naps)


def test_log_lines_are_told_as_they_come(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Each with its time, and the tail only when it was no success."""
    path = tmp_path / "log"
    path.write_text("one\n")

    def answer(_: object) -> str:
        with path.open("a") as file:
            file.write("two\n")
        return "200" if path.read_text().count("two") > 1 else "no"

    monkeypatch.setattr(probe, "answer", answer)
    probe.watch(me(timeout_s=60.0, log=str(path)))
    messages = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert ["one", "two", "two"] == [m["line"] for m in messages if "line" in m]
    assert ("ready", []) == (messages[-1]["end"], messages[-1]["tail"])


class Keyed(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.headers["Authorization"] == "Bearer key" else 401)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.mark.parametrize(("key", "status"), [("key\n", "200"), ("other", "401"), (None, "401")])
def test_the_engine_is_asked_with_its_key(key: str | None, status: str, tmp_path: Path) -> None:
    """The key is read from its file; an answer is a status."""
    if key:
        (tmp_path / "api-key").write_text(key)
    with http.server.HTTPServer(("127.0.0.1", 0), Keyed) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/v1/models"
        file = str(tmp_path / "api-key") if key else None
        assert status == probe.answer(me(url=url, api_key_file=file))


@pytest.mark.parametrize(
    ("lives", "status", "seconds", "end"),
    [
        (False, "200", 0, "exited"),
        (True, "200", 99, "ready"),
        (True, "503", 9, None),
        (True, "503", 10, "late"),
    ],
)
def test_how_it_ends(lives: bool, status: str, seconds: float, end: str | None) -> None:
    """A process that is gone counts first, then an answer, then the time."""
    assert end == probe._end(me(timeout_s=10.0), lives, status, seconds)


def test_who_answers_after_our_engines_end_is_somebody_else() -> None:
    """It was there when asked for, and is gone after the answer."""
    assert "exited" == probe._end(me(pid_started=1), True, "200", 0)


@pytest.mark.integration
def test_it_ends_when_nobody_listens() -> None:
    """No program stays on the host when the connection goes; and no traceback."""
    task = json.dumps(me(timeout_s=60.0, url="http://127.0.0.1:9/"))
    with subprocess.Popen(
        [sys.executable, "-I", "-S", probe.__file__, task],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as waiting:
        assert waiting.stdout
        assert waiting.stderr
        waiting.stdout.readline()
        waiting.stdout.close()
        assert (0, b"") == (waiting.wait(10), waiting.stderr.read())


def test_it_needs_the_standard_library_only() -> None:
    """It runs on hosts that have nothing else."""
    tree = ast.parse(Path(probe.__file__).read_text())
    names = {
        name.partition(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [str(node.module)]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert names
    assert set() == names - sys.stdlib_module_names
