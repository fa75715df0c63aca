"""Where `fab diagnose` looks."""

from __future__ import annotations

from pathlib import Path

import pytest

from fabfile.diagnose import look
from provisioning import rundir, site
from provisioning.diagnosis import gather
from provisioning.diagnosis.failure import Finding
from provisioning.errors import RemoteError
from provisioning.remote import LocalRemote

KILLED = Finding("engine-killed", "failure", "Killed.", "Look.", ("x",), "SIGKILL")


@pytest.fixture
def run(tmp_path: Path) -> rundir.RunDir:
    """A run of a server without a stack: its host is this machine."""
    return rundir.open_run(tmp_path / "results", site.URL_STACK, "rehearsal", "me")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """This machine's folder."""
    place = site.Site(site.URL_STACK, LocalRemote(tmp_path), str(tmp_path / "w"), None, "")
    monkeypatch.setattr(site, "here", lambda: place)
    return tmp_path / "w"


def names(run: rundir.RunDir) -> tuple[list[str], str]:
    """What is found, and what could not be looked at."""
    found, note = look(site.URL_STACK, run)
    return [one.name for one in found], note


def test_a_run_that_is_home_is_looked_at_there(run: rundir.RunDir) -> None:
    """With what was found on its host when it failed."""
    (run.path / "server.log").write_text("OSError: [Errno 28] No space left on device\n")
    (run.path / "SHA256SUMS").write_text("x")
    gather.keep(run, [KILLED])

    assert (["engine-killed", "disk-full"], "") == names(run)


@pytest.mark.integration
@pytest.mark.usefixtures("here")
def test_a_run_that_never_came_home_is_looked_at_on_the_host(run: rundir.RunDir) -> None:
    """And by the log that was rescued, where the host has none."""
    (run.home / "server.log").write_text("GatedRepoError: 401\n")

    assert (["model-gated"], "") == names(run)


def test_a_host_out_of_reach_is_told(run: rundir.RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is at home is looked at all the same."""
    (run.home / "server.log").write_text("GatedRepoError: 401\n")
    place = site.Site("url", LocalRemote(Path("/nowhere")), "/nowhere/w", None, "")
    monkeypatch.setattr(site, "here", lambda: place)
    monkeypatch.setattr(LocalRemote, "run", _no_way)
    found, note = names(run)

    assert (["model-gated"], "The host could not be looked at: No way.") == (found, note)


def _no_way(*_: object, **__: object) -> None:
    raise RemoteError("No way.")
