"""The guard's table, row by row, with a host of paper (the engine's own test has a real one)."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bench_agent.protocol import DIED, Event, HostStatus, RunListing, RunStatus
from provisioning import guard, rundir
from provisioning.errors import CollectError, HostKeyError, RemoteError, UsageError
from provisioning.rundir import RunDir
from stacks.outputs import HostOutput, Price, StackOutputs

RUN = "20261121T090000Z-rehearsal-0a1b"
HOST = HostOutput("vm", ("gpu",), "127.0.0.1", 22, "me", ("ssh-ed25519 AAAA",), "/work")


def _outputs(left: timedelta = timedelta(hours=4), **changes: Any) -> StackOutputs:
    now = datetime.now(UTC)
    values: dict[str, Any] = {
        "schema": 1,
        "stack": "local",
        "owner_label": "me",
        "cloud": "local",
        "region": "",
        "zone": "",
        "hosts": (HOST,),
        "endpoints": (),
        "ssh_private_key": None,
        "price": Price(0.0, "own", "own", "2026-11-21"),
        "created_at": now.isoformat(),
        "expires_at": (now + left).isoformat(),
        "recipe": "rehearsal",
    }
    return StackOutputs(**(values | changes))


@dataclass
class PaperHost:
    """What the host would say, and what was asked of it."""

    runs: list[RunListing] = field(default_factory=list)
    never_used: bool = False
    trouble: Exception | None = None
    asked: list[str] = field(default_factory=list)
    name: str = "vm"

    def __call__(self, *_: Any) -> PaperHost:
        return self

    @property
    def remote(self) -> PaperHost:
        return self

    def close(self) -> None:
        self.asked.append("close")

    def status_if_there(self) -> HostStatus | None:
        self.asked.append("status")
        if self.trouble:
            raise self.trouble
        return None if self.never_used else HostStatus(1, 0, None, tuple(self.runs))

    def seal(self, run_id: str) -> None:
        self.asked.append(f"seal {run_id}")

    def stop(self, run_id: str) -> None:
        self.asked.append(f"stop {run_id}")


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> PaperHost:
    paper = PaperHost()
    monkeypatch.setattr(guard, "SshRemote", paper)
    monkeypatch.setattr(guard, "Agent", paper)
    monkeypatch.setattr(guard, "_PAUSE_S", 0.0)

    def collect(_agent: Any, run: RunDir, _say: Any) -> None:
        paper.asked.append(f"collect {run.run_id}")
        (run.path / "SHA256SUMS").write_text("")
        run.change(state="collected")

    monkeypatch.setattr(guard, "collect", collect)
    return paper


def _launched(results: Path, state: str = "launched") -> RunDir:
    run = RunDir(results / "local" / RUN)
    run.path.mkdir(parents=True)
    run.change(state=state)
    return run


def _at_home(results: Path) -> RunDir:
    """A run that is home whole: one file, and its sum."""
    run = _launched(results, "collected")
    (run.path / "manifest.json").write_bytes(b"{}")
    sums = f"{hashlib.sha256(b'{}').hexdigest()}  manifest.json\n".encode()
    (run.path / "SHA256SUMS").write_bytes(sums)
    run.change(sums_sha256=hashlib.sha256(sums).hexdigest())
    return run


DAMAGE: dict[str, Callable[[Path], Any]] = {
    "a file is missing": lambda run: (run / "manifest.json").unlink(),
    "a bit flipped": lambda run: (run / "manifest.json").write_bytes(b"{\x7f"),
    "the sums are empty": lambda run: (run / "SHA256SUMS").write_bytes(b""),
    "the sums are nonsense": lambda run: (run / "SHA256SUMS").write_bytes(b"\xff\xfe"),
    "the sums name less": lambda run: (run / "SHA256SUMS").write_text(f"{'0' * 64}  home/x\n"),
}


def _judge(
    results: Path, *, exists: bool = True, outputs: StackOutputs | None = None
) -> guard.Outcome:
    return guard.judge(outputs or _outputs(), results, host_exists=exists, say=lambda _: None)


def test_a_vanished_machine_passes_and_its_open_run_is_lost(
    host: PaperHost, tmp_path: Path
) -> None:
    """The cloud says that the VM does not exist: pass, the open run is marked as lost."""
    run = _launched(tmp_path)

    outcome = _judge(tmp_path, exists=False)

    state = run.state()
    assert state is not None
    assert (True, [RUN], "lost", []) == (outcome.passed, outcome.lost, state.state, host.asked)


def test_a_machine_with_nothing_uncollected_passes(host: PaperHost, tmp_path: Path) -> None:
    """Exists, reachable, every run home: pass without pulling anything."""
    _at_home(tmp_path)
    host.runs = [RunListing(RUN, "done", sealed=True)]

    assert (True, []) == (_judge(tmp_path).passed, [a for a in host.asked if "collect" in a])


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_at_home_is_mended_before_the_machine_goes(
    host: PaperHost, tmp_path: Path, damage: str
) -> None:
    """A copy at home that is not as the host made it is no copy: the run is pulled again."""
    DAMAGE[damage](_at_home(tmp_path).path)
    host.runs = [RunListing(RUN, "done", sealed=True)]

    outcome = _judge(tmp_path)

    assert (True, [RUN]) == (outcome.passed, outcome.collected)


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_at_home_keeps_a_machine_that_cannot_be_reached(
    host: PaperHost, tmp_path: Path, damage: str
) -> None:
    """The only good copy may lie there."""
    DAMAGE[damage](_at_home(tmp_path).path)
    host.trouble = RemoteError("vm is silent.")

    assert not _judge(tmp_path).passed


def test_a_machine_that_never_had_an_agent_passes(host: PaperHost, tmp_path: Path) -> None:
    """Nothing was ever shipped there."""
    host.never_used = True

    assert _judge(tmp_path).passed


@pytest.mark.parametrize("at_home", [True, False])
def test_an_uncollected_run_comes_home_first(
    host: PaperHost, tmp_path: Path, at_home: bool
) -> None:
    """Exists, reachable, a run uncollected: collect, then pass; also one begun elsewhere."""
    if at_home:
        _launched(tmp_path)
    host.runs = [RunListing(RUN, "done", sealed=True)]

    outcome = _judge(tmp_path)

    assert (True, [RUN]) == (outcome.passed, outcome.collected)


def test_a_run_that_died_is_sealed_and_comes_home(host: PaperHost, tmp_path: Path) -> None:
    """What an agent measured before it died is a result."""
    host.runs = [RunListing(RUN, DIED, sealed=False)]

    _judge(tmp_path)

    assert ["status", f"seal {RUN}", f"collect {RUN}", "close"] == host.asked


def test_an_active_run_is_waited_for(
    host: PaperHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that is active is followed to its end, then collected."""
    host.runs = [RunListing(RUN, "running", sealed=False)]

    def follow(_agent: Any, run_id: str, _on_event: Any, *, until: Any) -> str | None:
        host.asked.append(f"follow {run_id}")
        return None if until() else "done"

    monkeypatch.setattr(guard, "follow", follow)
    _judge(tmp_path)

    assert ["status", f"follow {RUN}", f"collect {RUN}", "close"] == host.asked


def test_an_active_run_is_ended_ten_minutes_before_expiry(
    host: PaperHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the machine is about to go, what there is comes home."""
    host.runs = [RunListing(RUN, "running", sealed=False)]
    monkeypatch.setattr(guard, "follow", lambda *_, until: None if until() else "done")

    _judge(tmp_path, outputs=_outputs(left=timedelta(minutes=9)))

    assert ["status", f"stop {RUN}", f"collect {RUN}", "close"] == host.asked


def test_waiting_says_how_far_the_run_is(
    host: PaperHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person who waits for a teardown sees requests and time left."""
    host.runs = [RunListing(RUN, "running", sealed=False)]
    status = RunStatus(1, RUN, "running", 1, 1, "b", 0, 0, 0, completed=3, requested=8, eta_s=40.0)
    said: list[str] = []

    def follow(_agent: Any, _run: str, on_event: Any, **_: Any) -> str:
        on_event(Event(1, 0, "progress", status=status))
        return "done"

    monkeypatch.setattr(guard, "follow", follow)
    guard.judge(_outputs(), tmp_path, host_exists=True, say=said.append)

    assert f"{RUN}: 3/8 requests, 40 s left" in said


def test_an_unreachable_machine_without_runs_passes(host: PaperHost, tmp_path: Path) -> None:
    """Exists, unreachable, no run was ever started: nothing can be lost."""
    host.trouble = RemoteError("vm cannot be reached.")

    assert _judge(tmp_path).passed


@pytest.mark.parametrize("trouble", [RemoteError("vm is silent."), HostKeyError("another key.")])
def test_an_unreachable_machine_with_an_open_run_is_kept(
    host: PaperHost, tmp_path: Path, trouble: Exception
) -> None:
    """Exists, unreachable, a run open: refuse, naming the run and the way out."""
    _launched(tmp_path)
    host.trouble = trouble

    outcome = _judge(tmp_path)

    assert not outcome.passed
    assert f"fab abandon --stack local --run {RUN}" in outcome.message


def test_an_unreachable_machine_with_a_run_of_unknown_state_is_kept(
    host: PaperHost, tmp_path: Path
) -> None:
    """A damaged account at home is no proof that nothing is there."""
    run = _launched(tmp_path)
    (run.home / "run.json").write_text("{")
    host.trouble = RemoteError("vm is silent.")

    assert not _judge(tmp_path).passed


def test_an_abandoned_run_holds_nothing_back(host: PaperHost, tmp_path: Path) -> None:
    """`fab abandon` was said: pass."""
    run = _launched(tmp_path, "abandoned")
    (run.path / rundir.ABANDONED).write_text("")
    host.trouble = RemoteError("vm is silent.")

    assert _judge(tmp_path).passed


def test_a_host_that_stumbles_once_is_asked_again(host: PaperHost, tmp_path: Path) -> None:
    """One lost connection does not decide over a machine."""
    _launched(tmp_path)
    host.trouble = RemoteError("vm is silent.")

    _judge(tmp_path)

    assert ["status", "status", "close"] == host.asked


def test_a_run_that_the_host_never_got_is_no_longer_open(host: PaperHost, tmp_path: Path) -> None:
    """Asked for while the connection broke, and never begun: not lost, but failed."""
    run = _launched(tmp_path)

    _judge(tmp_path)

    state = run.state()
    assert state is not None
    assert "failed" == state.state


def _main(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], results: Path
) -> tuple[int, dict[str, Any]]:
    question = {
        "outputs": _outputs().as_dict(),
        "results": str(results),
        "host_exists": True,
    }
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(question)))
    code = guard.main()
    return code, json.loads(capsys.readouterr().out)


def test_passing_is_exit_code_zero(
    host: PaperHost,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The guard resource reads the exit code and one JSON object."""
    code, answer = _main(monkeypatch, capsys, tmp_path)

    assert (0, True) == (code, answer["pass"])


def test_results_that_cannot_come_home_refuse_with_what_to_do(
    host: PaperHost,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A failed collection keeps the machine."""
    host.runs = [RunListing(RUN, "done", sealed=True)]

    def collect(*_: Any) -> None:
        raise CollectError("No room at home.", "Make room.")

    monkeypatch.setattr(guard, "collect", collect)
    code, answer = _main(monkeypatch, capsys, tmp_path)

    assert (1, False, "No room at home. Make room.") == (code, answer["pass"], answer["message"])


def test_a_machine_that_may_go_takes_no_more_runs(
    host: PaperHost,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A teardown that is interrupted after its guard went leaves nothing unguarded in use."""
    rundir.require_guard(tmp_path, "local")

    _main(monkeypatch, capsys, tmp_path)

    with pytest.raises(UsageError, match="its guard is gone"):
        rundir.require_guard(tmp_path, "local")
