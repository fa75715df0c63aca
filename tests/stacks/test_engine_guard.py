"""The guard under the real engine: whatever would delete a machine asks it first."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from provisioning import rundir
from stacks import local_host, local_process
from tests.stacks.engine import YES, Project, make

pytestmark = pytest.mark.integration

RUN = "20261121T120000Z-rehearsal-0001"
REFUSAL = "verdict: refuse, as there are results"
NOTHING_DECLARED = "import pulumi\n"


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A stack that is up and whose guard refuses: every test below leaves it so."""
    project = make(tmp_path_factory.mktemp("refused"), "local")
    project.must("up", *YES)
    project.verdict(REFUSAL.removeprefix("verdict: "))
    yield project
    project.clean_up()


def urn(project: Project, name: str) -> str:
    return str(project.resources()[name]["urn"])


def stays(project: Project, *argv: str) -> str:
    """Run the engine: it must fail with the guard's message, and nothing may be gone."""
    before, server = project.resources(), project.server()
    done = project.pulumi(*argv)
    assert 0 != done.code, done.text
    assert {"lease", "host", "guard"} == before.keys() == project.resources().keys()
    assert before["host"]["id"] == project.resources()["host"]["id"]
    assert local_process.alive(server)
    assert 1 == len(project.hosts())
    return done.text


def test_destroy_is_refused_with_message_and_progress(refused: Project) -> None:
    """The message is the guard's, word for word; no traceback; its progress is seen."""
    said = stays(refused, "destroy", *YES)

    assert f"error: {REFUSAL}" in said
    assert "guard: asked True" in said
    assert "Traceback" not in said


def test_a_replacement_is_refused(refused: Project) -> None:
    """Another port is another machine: the old one stays, and no second one is made."""
    refused.must("config", "set", "port", "1")
    try:
        said = stays(refused, "up", *YES)
    finally:
        refused.must("config", "rm", "port")

    assert REFUSAL in said


def test_destroy_of_the_machine_alone_is_refused(refused: Project) -> None:
    """The engine sees that the guard depends on it."""
    said = stays(refused, "destroy", *YES, "--target", urn(refused, "host"))

    assert "guard" in said


def test_destroy_of_the_machine_with_its_guard_is_refused(refused: Project) -> None:
    """--target-dependents asks the guard, which says no."""
    target = urn(refused, "host")

    assert REFUSAL in stays(refused, "destroy", *YES, "--target", target, "--target-dependents")


def test_replacing_the_machine_on_demand_is_refused(refused: Project) -> None:
    """`up --replace` as well, with and without its dependents."""
    assert REFUSAL in stays(refused, "up", *YES, "--replace", urn(refused, "host"))


def test_removal_from_the_program_is_refused(refused: Project) -> None:
    """A program that declares nothing deletes everything, if the guard lets it."""
    main = refused.folder / "__main__.py"
    text = main.read_text()
    main.write_text(NOTHING_DECLARED)
    try:
        said = stays(refused, "up", *YES)
    finally:
        main.write_text(text)

    assert REFUSAL in said


def test_removal_of_the_machine_alone_is_refused(refused: Project) -> None:
    """A program that keeps the lease and forgets the machine."""
    main = refused.folder / "__main__.py"
    text = main.read_text()
    main.write_text("from stacks.lease import Lease\nLease(14400)\n")
    try:
        said = stays(refused, "up", *YES)
    finally:
        main.write_text(text)

    assert REFUSAL in said


def test_a_killed_machine_is_refused_as_well(refused: Project) -> None:
    """It is switched off, not gone: the guard wakes it and asks."""
    refused.kill_server()

    done = refused.pulumi("destroy", *YES)

    assert REFUSAL in done.text
    assert "guard: asked True" in done.text
    stays(refused, "destroy", *YES)


@pytest.fixture
def passing(tmp_path: Path) -> Iterator[Project]:
    project = make(tmp_path, "local")
    project.must("up", *YES)
    yield project
    project.clean_up()


def test_a_replacement_that_may_be_takes_turns(passing: Project) -> None:
    """Guard, machine, then the new ones: never two machines."""
    old, server = passing.resources(), passing.server()
    passing.must("config", "set", "port", "0")
    passing.must("config", "set", "owner", "somebody-else")

    assert "2 replaced" in passing.must("up", *YES)

    new = passing.resources()
    assert old["host"]["id"] != new["host"]["id"]
    assert not local_process.alive(server)
    assert [passing.host_folder()] == passing.hosts()
    passing.must("destroy", *YES)


@pytest.fixture
def real(tmp_path: Path) -> Iterator[Project]:
    """A stack that is up, guarded by the real judge, with a run at home that is still open."""
    project = make(tmp_path, "local", guard="real")
    project.must("up", *YES)
    yield project
    project.clean_up()


def open_run(project: Project) -> rundir.RunDir:
    run = rundir.RunDir(project.results / "local" / RUN)
    run.path.mkdir(parents=True)
    run.change(state="launched")
    return run


def state_of(run: rundir.RunDir) -> str:
    state = run.state()
    return state.state if state else ""


def test_without_any_run_the_machine_goes(real: Project) -> None:
    """Exists, reachable, nothing was ever started."""
    assert "No run was ever started there." in real.must("destroy", *YES)


def test_with_a_vanished_machine_its_runs_are_lost(real: Project) -> None:
    """The cloud says it does not exist: pass, and the record at home says so."""
    run = open_run(real)
    folder = real.host_folder()
    local_host.remove(folder, local_host.recorded(folder)["host_id"])

    said = real.must("destroy", *YES)

    assert f"the run {RUN} with it: marked as lost" in said
    assert "lost" == state_of(run)


def test_an_unreachable_machine_is_kept_until_its_run_is_abandoned(real: Project) -> None:
    """SSH does not answer: refused with the run and the way out; abandoned, it goes."""
    run = open_run(real)
    os.kill(real.server().pid, signal.SIGSTOP)

    said = stays(real, "destroy", *YES)

    assert RUN in said
    assert "fab abandon --stack local" in said
    assert "Traceback" not in said
    (run.path / rundir.ABANDONED).touch()
    real.must("destroy", *YES)
    assert [] == real.hosts()


def test_an_unreachable_machine_without_runs_goes(real: Project) -> None:
    """Nothing can be lost."""
    os.kill(real.server().pid, signal.SIGSTOP)

    real.must("destroy", *YES)

    assert [] == real.hosts()
