"""One run over a real agent, counted in exchanges, and cut in the middle."""

from __future__ import annotations

import json
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from bench_agent.protocol import RunStatus, Target
from provisioning import bench, recipe, rundir
from provisioning.errors import BenchError, HostError, LaunchError, UsageError
from provisioning.outcome import require_fit
from provisioning.progress import Phases
from provisioning.recipe_schema import Recipe
from provisioning.remote import LocalRemote
from provisioning.rundir import RunDir
from provisioning.site import Site
from reporting import listing, page
from reporting.run import load
from tests.provisioning.sshd import Server

pytestmark = pytest.mark.integration
#: A host that is ready: facts, lock, start, wait, smoke, start the agent, follow it, pull, stop
#: the engine, release; and the question who holds the lock. Pulling beside the load adds to it.
EXCHANGES = 12
#: Mean error of TTFT against the simulator's truth, disturbed or not.
BOUND_MS = 5.0


@dataclass
class Told:
    """A `Progress` that remembers."""

    notes: list[str] = field(default_factory=list)
    phases: list[str] = field(default_factory=list)
    on_load: threading.Event = field(default_factory=threading.Event)
    reconnected: threading.Event = field(default_factory=threading.Event)
    last: RunStatus | None = None

    def phase(self, name: str) -> None:
        self.phases.append(name)

    def note(self, text: str) -> None:
        self.notes.append(text)
        if "broke" in text:
            self.reconnected.set()

    def load(self, status: RunStatus) -> None:
        self.last = status
        if status.completed >= 3:
            self.on_load.set()

    def done(self, name: str, seconds: float) -> None:
        del name, seconds


def _recipe(*changes: str) -> Recipe:
    small = ("load.workload.output_len=16", "load.points.0.num_prompts=8")
    return recipe.load("rehearsal", [*small, "load.points.1.num_prompts=8", *changes])


def _records(run: RunDir) -> list[dict[str, Any]]:
    lines = (run.path / "points" / "00-c4" / "records.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_a_run_on_a_ready_host_costs_few_exchanges(site: Site, tmp_path: Path) -> None:
    """The second run on a host ships nothing, and asks once for all facts."""
    bench.bench(site, _recipe(), tmp_path, Told())
    before = site.remote.exchanges

    run = bench.bench(site, _recipe(), tmp_path, Told())

    assert run.whole
    assert site.remote.exchanges - before <= EXCHANGES


def test_a_workloads_file_is_brought_once(site: Site, server: Server, tmp_path: Path) -> None:
    """It lies on the host by its hash, the load is made of it, and the manifest knows it."""
    (tmp_path / "p.txt").write_text("one two three\nfour five six\n")
    prompts = ("load.workload.name=prompts", f"load.workload.options.path={tmp_path / 'p.txt'}")
    told, again = Told(), Told()

    run = bench.bench(site, _recipe(*prompts), tmp_path / "results", told)
    bench.bench(site, _recipe(*prompts), tmp_path / "results", again)

    require_fit(run)
    manifest = json.loads((run.path / "manifest.json").read_text())
    data, (there,) = manifest["context"]["data"], (server.workdir / "files").iterdir()
    assert f"{data['sha256'][:12]}-p.txt" == there.name
    assert str(there) == manifest["spec"]["workload"]["options"]["path"]
    shipped = [[n for n in t.notes if n.startswith("Shipped p.txt")] for t in (told, again)]
    assert [1, 0] == [len(notes) for notes in shipped]


def test_a_ladder_by_time_with_repeats_and_a_search_comes_home(site: Site, tmp_path: Path) -> None:
    """Every point of the recipe has its folder, and the search its answer."""
    ladder = "{max_concurrency: [1, 2], duration_s: 0.5, repeats: 2}"
    search = "{over: max_concurrency, low: 1, high: 4, num_prompts: 8}"
    plan = recipe.load(
        "rehearsal",
        [
            "load.workload.output_len=8",
            f"load.points=[{ladder}]",
            f"load.search={search}",
            "load.goodput.e2el=5000",
        ],
    )

    run = bench.bench(site, plan, tmp_path, Told())

    summary = require_fit(run)
    names = [point.point.name for point in summary.points]
    assert [p.name for p in plan.points()] == names[:4]
    assert all(0 < p.completed == p.requested for p in summary.points)
    assert summary.search is not None
    assert 4 == summary.search["highest"]
    assert names[4:] == [step["point"] for step in summary.search["steps"]]
    assert sorted(names) == sorted(p.name for p in (run.path / "points").iterdir())
    assert "4 is the highest" in dict(page.about(load(run.path)))["Search"]
    assert listing.row(run.path).verdict


def test_a_file_that_is_missing_opens_no_run(site: Site, tmp_path: Path) -> None:
    """It is looked for before anything begins."""
    with pytest.raises(UsageError, match=r"there is no file nope\.txt"):
        bench.bench(site, _recipe("load.workload.options.path=nope.txt"), tmp_path, Told())

    assert [] == list(rundir.runs(tmp_path, "local"))


def test_phases_are_told_and_kept(site: Site, tmp_path: Path) -> None:
    """Each phase is announced in order, and its time is with the run."""
    told = Told()

    run = bench.bench(site, _recipe(), tmp_path, told)

    state = run.state()
    assert state is not None
    assert ["connect", "provision", "serve", "load", "collect", "stop"] == told.phases
    assert told.phases == list(state.phases)


class Truth(threading.Thread):
    """Asks the simulator again and again when it really sent each token, until `over`."""

    def __init__(self, workdir: Path) -> None:
        super().__init__(daemon=True)
        self.sent_ns: dict[str, list[int]] = {}
        self.over = threading.Event()
        self._engines = workdir / "engines"

    def run(self) -> None:
        while not self.over.wait(0.2):
            for engine in self._engines.glob("*"):
                with suppress(OSError, ValueError, IndexError):
                    self._ask(engine)

    def _ask(self, engine: Path) -> None:
        port = (engine / "pid").read_text().split()[3]
        request = urllib.request.Request(f"http://127.0.0.1:{port}/truth")
        request.add_header("Authorization", f"Bearer {(engine / 'api-key').read_text().strip()}")
        with urllib.request.urlopen(request, timeout=3) as reply:
            rows = [json.loads(line) for line in reply]
        self.sent_ns |= {row["request_id"]: row["sent_ns"] for row in rows}


@pytest.mark.parametrize("cuts", [0, 3])
def test_a_cut_connection_does_not_disturb_the_run(
    site: Site, server: Server, tmp_path: Path, cuts: int
) -> None:
    """Cut in the middle or not: all requests come home, as exact against the truth."""
    told, truth = Told(), Truth(server.workdir)
    truth.start()

    def cut() -> None:
        if told.on_load.wait(30):
            for _ in range(cuts):
                server.wire.cut()
                told.reconnected.wait(5)
                told.reconnected.clear()

    cutter = threading.Thread(target=cut)
    cutter.start()
    run = bench.bench(site, _recipe("load.points.0.num_prompts=60"), tmp_path, told)
    truth.over.set()
    cutter.join()
    truth.join()

    seen = _records(run)
    told_true = [r for r in seen if r["request_id"] in truth.sent_ns]  # asked up to its last end
    errors = [(r["first_chunk_ns"] - truth.sent_ns[r["request_id"]][0]) / 1e6 for r in told_true]
    assert len(errors) >= 40
    assert (list(range(60)), True) == (sorted(r["index"] for r in seen), run.whole)
    assert bool(cuts) == any("broke" in note for note in told.notes)
    assert sum(errors) / len(errors) <= BOUND_MS
    require_fit(run)


def test_an_engine_that_dies_is_a_result_too(site: Site, tmp_path: Path) -> None:
    """A failed launch leaves its log at home, the host free, and says why by its log."""
    with pytest.raises(LaunchError) as failed:
        bench.bench(site, _recipe("engine.args.no_such_flag=1"), tmp_path, Told())

    (run,) = rundir.runs(tmp_path, "local")
    state = run.state()
    assert state is not None
    assert state.error is not None
    assert ("failed", "serve") == (state.state, state.error["phase"])
    assert "no-such-flag" in failed.value.log
    assert "no-such-flag" in (run.home / "server.log").read_text()
    bench.bench(site, _recipe(), tmp_path / "next", Told())


def test_requests_that_fail_are_no_success(site: Site, tmp_path: Path) -> None:
    """A run in which nothing succeeded comes home, and is told as that by its exit."""
    plan = _recipe("model.max_model_len=20", "load.num_warmups=0")

    run = bench.bench(site, plan, tmp_path, Told())

    with pytest.raises(BenchError, match="failed"):
        require_fit(run)


def test_a_host_in_use_is_refused(site: Site, server: Server, tmp_path: Path) -> None:
    """A lock that somebody else holds is respected: who and since when."""
    lock = server.workdir / "lock"
    lock.mkdir()
    owner = {"who": "ann@far", "run_id": "20261121T090000Z-x-0a1b", "since": "2026-11-21T09:00:00Z"}
    (lock / "owner.json").write_text(json.dumps(owner))
    try:
        with pytest.raises(HostError, match="in use by ann@far since 2026-11-21T09:00:00Z"):
            bench.bench(site, _recipe(), tmp_path, Told())
    finally:
        (lock / "owner.json").unlink()
        lock.rmdir()


def test_a_run_that_never_began_frees_its_host(site: Site, tmp_path: Path) -> None:
    """Attach says so, instead of waiting for nothing."""
    run = rundir.open_run(tmp_path, "local", "rehearsal", "me")
    run.change(state="launched")

    with pytest.raises(BenchError, match="never started"):
        bench.attach(site, run, Told())

    state = run.state()
    assert state is not None
    assert "failed" == state.state


def test_a_run_that_is_being_prepared_is_left_alone(site: Site, tmp_path: Path) -> None:
    """Attach does not take the engine and the lock from a `fab bench` that is at work."""
    run = rundir.open_run(tmp_path, "local", "rehearsal", "me")

    with run.controlled(), pytest.raises(BenchError, match="is being prepared"):
        bench.attach(site, run, Told())


def test_a_name_that_is_none_opens_no_run(site: Site, tmp_path: Path) -> None:
    """Engines and launchers are looked up before anything begins."""
    for change in ("engine.name=nope", "launcher=nope"):
        with pytest.raises(UsageError, match="nope"):
            bench.bench(site, _recipe(change), tmp_path, Told())

    assert [] == list(rundir.runs(tmp_path, "local"))


def test_the_key_of_somebody_elses_server_does_not_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It lies in a file for as long as the run needs it."""
    monkeypatch.setenv("VLLM_API_KEY", "planted-key-1234")
    monkeypatch.setattr("provisioning.serve.served_model", lambda *_: "m")
    url = "http://127.0.0.1:9"
    there = Site("url", LocalRemote(tmp_path / "w"), str(tmp_path / "w"), None, url)

    bench.bench(there, _recipe(), tmp_path / "results", Told())

    found = [p for p in tmp_path.rglob("*") if p.is_file() and b"planted-key" in p.read_bytes()]
    assert [] == found


@pytest.fixture
def here(tmp_path: Path) -> Site:
    """This machine as a host."""
    (tmp_path / "host").mkdir()
    return Site("local", LocalRemote(tmp_path), str(tmp_path / "host"))


def test_stop_ends_an_engine_whose_lock_is_gone(here: Site, tmp_path: Path) -> None:
    """Of a run that the agent never heard of: engines go by the run's id."""
    run = rundir.open_run(tmp_path, "local", "rehearsal", "me")
    folder = tmp_path / "host" / "engines" / run.run_id
    folder.mkdir(parents=True)
    (folder / "engine.sh").write_text('touch "${0%/*}/stopped"')

    bench.stop(here, run, Told())

    assert (folder / "stopped").exists()


@pytest.mark.parametrize(("state", "kept"), [("failed", False), ("launched", True)])
def test_stop_frees_the_host_of_a_run_that_failed(
    here: Site, tmp_path: Path, state: str, kept: bool
) -> None:
    """It ended without giving back; one that may be at work is left alone."""
    other = rundir.open_run(tmp_path, "local", "rehearsal", "me")
    other.change(state=state)
    lock = tmp_path / "host" / "lock"
    lock.mkdir()
    owner = {"who": "me", "run_id": other.run_id, "since": "now"}
    (lock / "owner.json").write_text(json.dumps(owner))

    bench.stop(here, rundir.open_run(tmp_path, "local", "rehearsal", "me"), Told())

    assert kept == lock.exists()


def test_a_run_that_the_agent_refuses_is_given_back(
    here: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is to come home: for whoever prepared the host it was never launched."""
    states: list[str] = []

    @contextmanager
    def prepared(_: Site, __: Recipe, run: RunDir, *___: object) -> Iterator[Any]:
        try:
            yield here.host(), {}
        finally:
            states.append(getattr(run.state(), "state", ""))

    def refuse(*_: object) -> None:
        raise BenchError("The agent did not start the run.", "Mend the recipe.")

    target = Target(("http://127.0.0.1:9",), "m", "chat")
    monkeypatch.setattr(bench, "prepared", prepared)
    monkeypatch.setattr(bench, "serve", lambda *_: (target, {}))
    monkeypatch.setattr("provisioning.agent.Agent.start", refuse)
    with pytest.raises(BenchError, match="did not start"):
        bench.bench(here, _recipe(), tmp_path, Told())

    (run,) = rundir.runs(tmp_path, "local")
    assert (["opened"], "failed") == (states, getattr(run.state(), "state", ""))


def test_ctrl_c_while_a_failed_run_is_explained_leaves_no_engine(
    here: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is released all the same."""
    released: list[str] = []

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(bench, "collect", lambda *_: None)
    monkeypatch.setattr("provisioning.diagnosis.gather.failed", interrupted)
    monkeypatch.setattr(bench, "release", lambda _, run_id, *__, **___: released.append(run_id))
    run = rundir.open_run(tmp_path, "local", "rehearsal", "me")
    with pytest.raises(KeyboardInterrupt):
        bench._finish(here, run, Phases(Told()), "failed")

    assert [run.run_id] == released


def test_a_rehearsal_needs_a_host(tmp_path: Path) -> None:
    """A server that runs already cannot be a simulator."""
    there = Site("url", LocalRemote(tmp_path), str(tmp_path), url="http://127.0.0.1:9")
    with pytest.raises(UsageError, match="--rehearse starts a simulator"):
        bench.prepare(there, recipe.load("rehearsal", rehearse=True))
