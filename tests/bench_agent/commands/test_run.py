"""Tests of the agent's commands, on the archive."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from bench_agent import clock
from bench_agent.layout import RunDir, Workdir
from bench_agent.protocol import SUMS, Point, RunListing, RunSpec, RunSummary
from bench_agent.storage import read_json, read_records
from bench_agent.wire import decode, encode
from tests.bench_agent.commands.agent import Agent, build, interpreters, until
from tests.bench_agent.records import PATIENT, run_spec

pytestmark = pytest.mark.integration
Simulate = Callable[..., str]
RUN = run_spec().run_id


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The agent's archive."""
    return build(tmp_path_factory.mktemp("agent") / "agent.pyz")


@pytest.fixture
def agent(archive: Path, tmp_path: Path) -> Iterator[Agent]:
    """An agent on a fresh host; what it still runs at the end is killed."""
    one = Agent(archive, sys.executable, tmp_path / "work")
    yield one
    for listing in one.status().runs:
        if listing.status is not None and listing.state not in (
            "done",
            "incomplete",
            "failed",
            "died",
        ):
            os.kill(listing.status.pid, signal.SIGKILL)


@pytest.fixture
def slow(simulate: Simulate) -> RunSpec:
    """A run that lasts for a minute if it is let."""
    url = simulate(itl_ms=100.0)
    return run_spec(
        url=url,
        points=(Point("00-c2", 40, 2),),
        workload=replace(run_spec().workload, output_len=20),
    )


def folder_of(agent: Agent) -> RunDir:
    """The folder of the run."""
    return Workdir(agent.workdir).run(RUN)


def started(agent: Agent, spec: RunSpec, requests: int = 2) -> int:
    """Start a run and let it finish some requests; its pid."""
    pid = agent.start(spec)
    records = folder_of(agent).records("00-c2")
    until(lambda: records.exists() and records.read_bytes().count(b"\n") >= requests)
    return pid


def session_is_gone(pid: int) -> bool:
    """Whether no process of the run's session is left."""
    sessions = []
    for each in [int(p.name) for p in Path("/proc").iterdir() if p.name.isdigit()]:
        with suppress(ProcessLookupError):
            if clock.process_started(each) is not None:
                sessions.append(os.getsid(each))
    return os.getsid(0) in sessions and pid not in sessions


@pytest.mark.parametrize("python", interpreters())
def test_a_run_from_start_to_end(
    archive: Path, tmp_path: Path, simulate: Simulate, python: str
) -> None:
    """On every Python from 3.10 on: started, followed, listed, sent, whole."""
    agent = Agent(archive, python, tmp_path)
    agent.start(run_spec(url=simulate(), num_warmups=1, limits=PATIENT))
    events = agent.follow(RUN)
    listing = agent.status().runs[0]
    frames, closing = agent.send(RUN, {})

    assert ("end", "done") == (events[-1].kind, events[-1].message)
    assert (RUN, "done", True) == (listing.run_id, listing.state, listing.sealed)
    assert ("SHA256SUMS", True) == (frames[-1][0].path, closing.sealed)
    sums = dict(reversed(line.split("  ")) for line in frames[-1][1].decode().splitlines())
    assert sums == {f.path: hashlib.sha256(data).hexdigest() for f, data in frames[:-1]}
    assert hashlib.sha256(frames[-1][1]).hexdigest() == closing.sha256
    assert decode(RunSummary, read_json(folder_of(agent).summary)).verdict.valid


def test_interpreters_were_found() -> None:
    """The test above ran on something."""
    assert len(interpreters()) >= 1


def test_a_second_start_does_no_harm(agent: Agent, simulate: Simulate) -> None:
    """It is refused with a sentence, and the first one goes on to its end."""
    spec = run_spec(url=simulate())
    agent.start(spec)
    second = agent.call("start", stdin=json.dumps(encode(spec)).encode())

    assert (3, b"") == (second.returncode, second.stdout)
    assert b"exists already" in second.stderr
    assert "done" == agent.follow(RUN)[-1].message


@pytest.mark.parametrize("stdin", [b"", b'{"schema": 1}'])
def test_a_bad_spec_starts_nothing(agent: Agent, stdin: bytes) -> None:
    """One sentence, exit code 2, no trace."""
    done = agent.call("start", stdin=stdin)

    assert (2, b"", 1) == (done.returncode, done.stdout, done.stderr.count(b"\n"))
    assert () == agent.status().runs


def test_the_run_leaves_the_terminal(agent: Agent, slow: RunSpec) -> None:
    """Its own session, no descriptor of the one who started it, deaf to a hang-up."""
    pid = started(agent, slow)
    os.kill(pid, signal.SIGHUP)
    targets = {str(Path(f"/proc/{pid}/fd/{n}").readlink()) for n in (0, 1, 2)}

    assert os.getsid(pid) != os.getsid(0)
    assert {"/dev/null", str(folder_of(agent).agent_log)} == targets
    assert "running" == agent.status().runs[0].state


def test_a_run_is_stopped(agent: Agent, slow: RunSpec) -> None:
    """Everything measured is written and sealed; a second stop changes nothing."""
    pid = started(agent, slow)
    listings = [
        decode(RunListing, json.loads(agent.call("stop", "--run", RUN).stdout)) for _ in range(2)
    ]
    folder = folder_of(agent)
    summary = decode(RunSummary, read_json(folder.summary))

    assert [("incomplete", True)] * 2 == [(each.state, each.sealed) for each in listings]
    assert (2, {"stopped": 2}) == (summary.points[0].completed, summary.points[0].failures)
    until(lambda: clock.process_started(pid) is None)
    assert (("end", "incomplete"), 0) == (
        (agent.follow(RUN)[-1].kind, agent.follow(RUN)[-1].message),
        agent.call("seal", "--run", RUN).returncode,
    )


def test_a_run_is_stopped_before_it_has_begun(agent: Agent, slow: RunSpec) -> None:
    """However early the signal comes, the run closes in good order."""
    os.kill(agent.start(slow), signal.SIGTERM)

    assert ("end", "incomplete") == (agent.follow(RUN)[-1].kind, agent.follow(RUN)[-1].message)


def test_a_killed_run_is_seen_and_sealed(agent: Agent, slow: RunSpec) -> None:
    """Its workers go with it; what they wrote is summarised, once."""
    pid = started(agent, slow)
    session = os.getsid(pid)
    refused = agent.call("seal", "--run", RUN)
    os.kill(pid, signal.SIGKILL)
    until(lambda: agent.status().runs[0].state == "died")
    until(lambda: session_is_gone(session))
    end = agent.follow(RUN)[-1]
    stopped = agent.call("stop", "--run", RUN)
    codes = [agent.call("seal", "--run", RUN).returncode for _ in range(2)]
    folder = folder_of(agent)
    summary = decode(RunSummary, read_json(folder.summary))
    listing = agent.status().runs[0]

    assert (5, ("end", "died"), 0, [0, 0]) == (
        refused.returncode,
        (end.kind, end.message),
        stopped.returncode,
        codes,
    )
    assert ("incomplete", "incomplete", True) == (summary.state, listing.state, listing.sealed)
    assert summary.points[0].completed == len(list(read_records(folder.records("00-c2")))) >= 2
    assert not summary.verdict.valid
    assert "incomplete" == agent.follow(RUN)[-1].message


def test_a_torn_record_is_dropped_when_sealing(agent: Agent, slow: RunSpec) -> None:
    """A line that was never finished, and a status that was never renamed."""
    os.kill(started(agent, slow), signal.SIGKILL)
    folder = folder_of(agent)
    until(lambda: agent.status().runs[0].state == "died")
    whole = folder.records("00-c2").read_bytes()
    folder.records("00-c2").write_bytes(whole + b'{"index":9')
    folder.path.joinpath(".summary.json.tmp").write_bytes(b"{")
    code = agent.call("seal", "--run", RUN).returncode

    assert (0, whole) == (code, folder.records("00-c2").read_bytes())
    assert not folder.path.joinpath(".summary.json.tmp").exists()


def test_a_run_that_died_before_it_measured_has_failed(agent: Agent) -> None:
    """Nothing to summarise; still a whole result. Without a spec it cannot be sealed."""
    folder = folder_of(agent)
    folder.control.mkdir(parents=True)
    lost = agent.call("seal", "--run", RUN)
    folder.spec.write_text(json.dumps(encode(run_spec())))
    code = agent.call("seal", "--run", RUN).returncode

    assert (2, 0, "failed", True) == (
        lost.returncode,
        code,
        read_json(folder.summary)["state"],
        folder.sealed,
    )


def test_files_are_sent_while_the_run_goes_on(agent: Agent, slow: RunSpec) -> None:
    """Whole lines of what only grows; later the rest, from where the receiver left off."""
    started(agent, slow)
    first, closing = agent.send(RUN, {})
    home = {frame.path: data for frame, data in first}
    agent.call("stop", "--run", RUN)
    second, sealed = agent.send(RUN, {path: len(data) for path, data in home.items()})
    for frame, data in second:
        assert len(home.get(frame.path, b"")) == frame.offset
        home[frame.path] = home.get(frame.path, b"") + data
    folder = folder_of(agent)

    assert (False, "", True) == (closing.sealed, closing.sha256, sealed.sealed)
    assert {"agent.log", "points/00-c2/records.jsonl", "recipe.yaml", "telemetry.jsonl"} == {
        frame.path for frame, _ in first
    }
    assert home["points/00-c2/records.jsonl"].endswith(b"\n")
    assert {name: (folder.path / name).read_bytes() for name in [*folder.files(), SUMS]} == home
    assert SUMS == second[-1][0].path


def test_a_file_that_was_longer_at_home_is_sent_again(agent: Agent, simulate: Simulate) -> None:
    """From its beginning; one that is home already takes no bytes."""
    agent.start(run_spec(url=simulate()))
    agent.follow(RUN)
    size = folder_of(agent).manifest.stat().st_size
    frames, _ = agent.send(RUN, {"manifest.json": size + 1, "recipe.yaml": 0, "summary.json": 5})
    found = {frame.path: (frame.offset, frame.length) for frame, _ in frames}

    assert ((0, size), (0, 0)) == (found["manifest.json"], found["recipe.yaml"])
    assert 5 == found["summary.json"][0]


@pytest.mark.parametrize("stdin", [b"[", b"[]", b'{"a": -1}', b'{"a": "1"}'])
def test_send_refuses_another_list(agent: Agent, stdin: bytes) -> None:
    """A path and bytes, nothing else."""
    folder_of(agent).control.mkdir(parents=True)

    assert 2 == agent.call("send", "--run", RUN, stdin=stdin).returncode


def test_following_goes_on_where_it_left(agent: Agent, simulate: Simulate) -> None:
    """Later events only; the end in any case."""
    agent.start(run_spec(url=simulate()))
    logged = [e for e in agent.follow(RUN) if e.kind != "progress"]
    rest = agent.follow(RUN, "--since", "3")
    nothing = agent.follow(RUN, "--since", "999")

    assert list(range(1, len(logged) + 1)) == [e.seq for e in logged]
    assert logged[3:] == rest
    assert [logged[-1]] == nothing


def test_progress_comes_while_the_run_goes_on(agent: Agent, slow: RunSpec) -> None:
    """With the status, and the number of the last event."""
    started(agent, slow)
    with subprocess.Popen(agent.argv("follow", "--run", RUN), stdout=subprocess.PIPE) as follow:
        assert follow.stdout is not None
        seen = [json.loads(follow.stdout.readline()) for _ in range(6)]
        follow.stdout.close()  # whoever followed has gone
        agent.call("stop", "--run", RUN)
        code = follow.wait(10)
    progress = [e for e in seen if e["kind"] == "progress"]

    assert 0 == code
    assert len(progress) >= 1
    assert {"running"} == {e["status"]["state"] for e in progress}
    assert {max(e["seq"] for e in seen)} == {e["seq"] for e in progress}


@pytest.mark.parametrize("command", ["follow", "stop", "seal", "send"])
@pytest.mark.parametrize("run_id", [RUN, "../escape"])
def test_an_unknown_run_is_said(agent: Agent, command: str, run_id: str) -> None:
    """One sentence, exit code 4."""
    done = agent.call(command, "--run", run_id)

    assert (4, b"", 1) == (done.returncode, done.stdout, done.stderr.count(b"\n"))


def test_the_lock_s_owner_is_told(agent: Agent) -> None:
    """Whatever the controller wrote there."""
    owner = {"who": "ada"}
    lock = agent.workdir / "lock"
    lock.mkdir(parents=True)
    (lock / "owner.json").write_text(json.dumps(owner))

    assert owner == agent.status().lock


def test_an_empty_host_has_no_runs(agent: Agent) -> None:
    """And nobody uses it."""
    status = agent.status()

    assert ((), None, False) == (status.runs, status.lock, agent.workdir.exists())


def test_folders_are_the_user_s_own(agent: Agent, simulate: Simulate) -> None:
    """No one else on the host can read a run."""
    agent.start(run_spec(url=simulate()))
    agent.follow(RUN)
    modes = {p.stat().st_mode & 0o077 for p in [agent.workdir, *agent.workdir.rglob("*")]}

    assert {0} == modes
