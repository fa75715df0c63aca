"""Tests of the commands, in this process, on runs of every kind."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench_agent import cli, clock, sealing, storage
from bench_agent.commands import stop
from bench_agent.commands.send import send
from bench_agent.journal import Journal
from bench_agent.layout import RunDir, Workdir
from bench_agent.liveness import hold, read_status, state_of
from bench_agent.protocol import SUMS, Frame
from bench_agent.wire import decode, encode
from tests.bench_agent.records import record, run_spec

RUN = run_spec().run_id
Call = Callable[..., tuple[int, str]]


@pytest.fixture
def folder(tmp_path: Path) -> RunDir:
    """A run of this very process: active, one of two requests on record."""
    run = Workdir(tmp_path).run(RUN)
    run.control.mkdir(parents=True)
    storage.write_json(run.spec, encode(run_spec()))
    journal = Journal(run, run_spec())
    journal.state("running")
    run.point("00-c2").mkdir(parents=True)
    run.records("00-c2").write_text(json.dumps(record().__dict__) + "\n" + '{"index"')
    run.recipe.write_text("a: 1\n")
    run.manifest.write_text("{}\n")
    return run


def die(run: RunDir, **changes: Any) -> None:
    """The process of the run is gone: its pid belongs to another start."""
    status = storage.read_json(run.status)
    storage.write_json(run.status, {**status, "pid_started": 1, **changes})


@pytest.fixture
def call(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Call:
    """Run a command; its exit code and standard output."""

    def run(command: str, *more: str, stdin: bytes = b"") -> tuple[int, str]:
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(stdin)))
        mask = os.umask(0o077)
        try:
            code = cli.execute([command, *more, "--workdir", str(tmp_path)])
        finally:
            os.umask(mask)
        return code, capsys.readouterr().out

    return run


def events(text: str) -> list[tuple[int, str, str]]:
    """Number, kind and message of each event."""
    found = [json.loads(line) for line in text.splitlines()]
    return [(e["seq"], e["kind"], e["message"]) for e in found]


def test_status_lists_runs(folder: RunDir, call: Call) -> None:
    """An active one as it is, a dead one as died."""
    before = json.loads(call("status")[1])["runs"][0]
    die(folder)
    after = json.loads(call("status")[1])["runs"][0]

    assert [(RUN, "running", False), (RUN, "died", False)] == [
        (each["run_id"], each["state"], each["sealed"]) for each in (before, after)
    ]


def test_a_run_of_another_boot_is_dead(folder: RunDir) -> None:
    """Even when its pid is given out again."""
    assert "running" == state_of(folder, read_status(folder))
    die(folder, pid_started=clock.process_started(os.getpid()), boot_id="another")

    assert "died" == state_of(folder, read_status(folder))


def test_a_run_that_closed_between_two_looks_is_closed(folder: RunDir) -> None:
    """It is not reported as died."""
    die(folder)
    before = read_status(folder)
    die(folder, state="done")

    assert "done" == state_of(folder, before)


def test_a_run_that_died_after_its_seal_is_what_it_sealed(folder: RunDir) -> None:
    """Only its last word is missing."""
    die(folder)
    storage.write_json(folder.summary, {"state": "incomplete"})
    folder.sums.touch()

    assert "incomplete" == state_of(folder, read_status(folder))


def test_a_run_without_a_status_has_died(tmp_path: Path) -> None:
    """It never came so far."""
    assert "died" == state_of(RunDir(tmp_path), None)


def test_follow_ends_with_the_end(folder: RunDir, call: Call) -> None:
    """Of a dead run, with one that is made up and has the next number."""
    die(folder)

    assert (0, [(1, "state", "running"), (2, "end", "died")]) == _numbered(
        call("follow", "--run", RUN)
    )
    assert (0, [(2, "end", "died")]) == _numbered(call("follow", "--run", RUN, "--since", "1"))


def _numbered(answer: tuple[int, str]) -> tuple[int, list[tuple[int, str, str]]]:
    return answer[0], events(answer[1])


def test_follow_shows_progress_until_the_run_ends(
    folder: RunDir, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the status; then the end that was logged, once."""

    def end_it(_seconds: float) -> None:
        journal = Journal(folder, run_spec())
        journal.event("note", "still here")
        journal.end("done", "")

    folder.events.unlink()
    monkeypatch.setattr("bench_agent.commands.follow.time.sleep", end_it)
    code, out = call("follow", "--run", RUN)
    progress = json.loads(out.splitlines()[0])

    assert 0 == code
    assert ("progress", 0, RUN) == (progress["kind"], progress["seq"], progress["status"]["run_id"])
    assert [(1, "note", "still here"), (2, "end", "done")] == events(out)[1:]


def test_a_dead_run_is_sealed_once(folder: RunDir, call: Call) -> None:
    """From its records; the torn one is dropped. Its log of events ends properly."""
    refused = call("seal", "--run", RUN)[0]
    die(folder)
    codes = [call("seal", "--run", RUN)[0] for _ in range(2)]
    summary = storage.read_json(folder.summary)

    assert (5, [0, 0]) == (refused, codes)
    assert ("incomplete", 1) == (summary["state"], summary["points"][0]["completed"])
    assert folder.records("00-c2").read_bytes().endswith(b"}\n")
    assert "incomplete" == storage.read_json(folder.status)["state"]
    assert [
        (1, "state", "running"),
        (2, "note", sealing.MESSAGE),
        (3, "end", "incomplete"),
    ] == events(call("follow", "--run", RUN)[1])


def test_a_run_with_workers_left_is_not_sealed(
    folder: RunDir, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody might still write."""
    die(folder)
    monkeypatch.setattr(sealing, "_PATIENCE_S", 0.05)
    lock = hold(folder.alive)
    assert lock is not None
    while_held = call("seal", "--run", RUN)[0]
    os.close(lock)

    assert (5, 0) == (while_held, call("seal", "--run", RUN)[0])


def test_a_run_without_records_has_failed(folder: RunDir, call: Call) -> None:
    """There is nothing to summarise, but a whole result. A missing key file is no hindrance."""
    spec = run_spec(target=replace(run_spec().target, api_key_file="/nowhere"))
    storage.write_json(folder.spec, encode(spec))
    folder.records("00-c2").unlink()
    folder.status.unlink()
    folder.events.unlink()
    call("seal", "--run", RUN)

    assert ("failed", True) == (storage.read_json(folder.summary)["state"], folder.sealed)


def test_a_run_without_a_spec_cannot_be_sealed(folder: RunDir, call: Call) -> None:
    """That is said, and nothing is written."""
    die(folder)
    folder.spec.unlink()

    assert (2, False) == (call("seal", "--run", RUN)[0], folder.sealed)


def sent(folder: RunDir, have: dict[str, int]) -> dict[str, tuple[int, bytes]]:
    """Offset and bytes of each file; the closing frame under ``""``, with its checksum."""
    out = io.BytesIO()
    send(folder, have, out)
    out.seek(0)
    found = {}
    while line := out.readline():
        frame = decode(Frame, json.loads(line))
        data = out.read(frame.length) if frame.path else frame.sha256.encode()
        found[frame.path] = (frame.offset, data)
    return found


def test_an_open_run_sends_what_only_grows(folder: RunDir) -> None:
    """Up to a whole line; what may be replaced stays."""
    whole = json.dumps(record().__dict__).encode() + b"\n"

    assert {
        "points/00-c2/records.jsonl": (0, whole),
        "recipe.yaml": (0, b"a: 1\n"),
        "": (0, b""),
    } == sent(folder, {})
    assert (len(whole), b"") == sent(folder, {"points/00-c2/records.jsonl": len(whole)})[
        "points/00-c2/records.jsonl"
    ]


def test_a_sealed_run_sends_everything_and_its_sums_last(folder: RunDir, call: Call) -> None:
    """What is home already takes no bytes; what was longer at home comes again."""
    die(folder)
    call("seal", "--run", RUN)
    found = sent(folder, {"recipe.yaml": 2, "manifest.json": 1_000_000})

    assert [*folder.files(), SUMS, ""] == list(found)
    assert ((2, b" 1\n"), 0) == (found["recipe.yaml"], found["manifest.json"][0])
    assert storage.sha256(folder.sums).encode() == found[""][1]


def test_send_over_the_command_line(
    folder: RunDir, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The list comes on standard input, the frames go to standard output."""
    out = SimpleNamespace(buffer=io.BytesIO())
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", out)
        code = call("send", "--run", RUN, stdin=b"{}")[0]

    assert (0, True) == (code, out.buffer.getvalue().startswith(b'{"path": "points/00-c2'))
    assert 2 == call("send", "--run", RUN, stdin=b"[")[0]
    assert 2 == call("send", "--run", RUN, stdin=b'{"a": true}')[0]


def test_a_file_that_shrinks_is_an_error(folder: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rather than a frame that lies about its length."""
    monkeypatch.setattr(storage, "whole_lines", lambda _path: 10_000)

    with pytest.raises(OSError, match="shrank"):
        send(folder, {}, io.BytesIO())


def test_stop_asks_the_run_s_own_process(
    folder: RunDir, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And prints how the run lies after that."""
    asked: list[int] = []

    def kill(pid: int, _number: int) -> None:
        asked.append(pid)
        die(folder, state="incomplete")

    monkeypatch.setattr(stop.os, "kill", kill)
    listings = [json.loads(call("stop", "--run", RUN)[1])["state"] for _ in range(2)]

    assert (["incomplete", "incomplete"], [os.getpid()]) == (listings, asked)


def test_stop_leaves_other_processes_alone(
    folder: RunDir, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pid that was given out again is not the run's; patience has an end."""
    monkeypatch.setattr(stop.os, "kill", lambda *_: pytest.fail("killed a stranger"))
    die(folder)
    died = json.loads(call("stop", "--run", RUN)[1])["state"]
    monkeypatch.setattr(stop, "PATIENCE_S", 0.1)
    monkeypatch.setattr(stop, "is_alive", lambda _status: False)
    die(folder, pid_started=clock.process_started(os.getpid()))
    still = json.loads(call("stop", "--run", RUN)[1])["state"]

    assert ("died", "running") == (died, still)


@pytest.mark.parametrize("command", ["follow", "stop", "seal", "send"])
@pytest.mark.parametrize("run_id", [RUN, "../x"])
def test_an_unknown_run_is_said(call: Call, command: str, run_id: str) -> None:
    """Exit code 4, nothing on standard output."""
    assert (4, "") == call(command, "--run", run_id)


def test_a_reader_that_goes_away_is_no_error(
    folder: RunDir, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command just ends."""
    readable, writable = os.pipe()
    os.close(readable)
    die(folder)

    with os.fdopen(writable, "w") as out, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", out)
        code = call("follow", "--run", RUN)[0]

    assert 0 == code


def test_a_bad_spec_starts_nothing(call: Call, tmp_path: Path) -> None:
    """Nor does one that is there already."""
    folder = Workdir(tmp_path).run(RUN)
    bad = call("start", stdin=b"{}")[0]
    folder.path.mkdir(parents=True)
    again = call("start", stdin=json.dumps(encode(run_spec())).encode())[0]

    assert ((2, 3), []) == ((bad, again), list(folder.path.iterdir()))


def test_an_agent_that_ends_at_once_is_an_error(
    call: Call, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the way to its log."""
    monkeypatch.setattr("bench_agent.commands.start.detached", lambda *_: None)

    assert 1 == call("start", stdin=json.dumps(encode(run_spec())).encode())[0]


def test_the_version_is_told(call: Call) -> None:
    """As JSON."""
    assert 1 == json.loads(call("version")[1])["protocol"]
