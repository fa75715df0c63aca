"""The model's step on a real host (this machine), a real hub client, and a stand-in hub."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from provisioning.deploys import model as deploy
from provisioning.errors import HostError
from provisioning.host import Host
from provisioning.needs import Needs
from provisioning.operations import model as operations
from provisioning.remote import LocalRemote
from tests.provisioning.deploys.model.rig import (
    BLOCK,
    SIZE,
    WEIGHTS,
    a_host,
    apply,
    begun,
    hub_model,
    partial,
    pid,
    refusal,
    started,
    until,
)
from tests.provisioning.hub import Hub

pytestmark = pytest.mark.integration


def test_a_model_is_brought_and_known(wanted: Callable[..., Needs], hub: Hub) -> None:
    """From nothing to files, with news of the progress, and what the manifest keeps of it."""
    hub.rate = 30e6
    needs, told = wanted(), list[str]()
    host = apply(needs, told)
    about = deploy.about(host, needs)

    commit = hub.models["o/m"].commit
    assert (commit, SIZE + 56, 4) == (about["commit"], about["bytes"], about["files"])
    assert hub.models["o/m"].files[WEIGHTS].data == Path(about["path"], WEIGHTS).read_bytes()
    assert ("huggingface_hub 1.17.0", hub.url) == (about["tool"], about["hub"])
    assert [line for line in told if line.startswith("0.0 of 0.0 GB, ")]
    assert f"commit {commit[:12]}" in told[-1]


def test_a_cached_model_costs_one_exchange(wanted: Callable[..., Needs], hub: Hub) -> None:
    """No command, and not a word with the hub, which may be gone."""
    needs = wanted()
    apply(needs)
    asked = len(hub.seen)

    host = apply(needs)

    assert (1, [], asked) == (host.remote.exchanges, host.ran, len(hub.seen))
    assert hub.models["o/m"].commit == deploy.about(host, needs)["commit"]
    assert 1 == host.remote.exchanges


def test_a_pinned_commit_is_found_under_its_branch(wanted: Callable[..., Needs], hub: Hub) -> None:
    """What was brought as ``main`` is that commit."""
    apply(wanted())
    host = apply(wanted(revision=hub.models["o/m"].commit))
    assert [] == host.ran


def test_a_killed_download_goes_on(wanted: Callable[..., Needs], hub: Hub) -> None:
    """It is told; the next run asks for no byte again that is on disk."""
    hub.rate = 12e6
    needs = wanted()
    started(needs)
    until(lambda: partial(needs) > BLOCK)
    os.killpg(pid(needs), signal.SIGKILL)
    host, model = a_host(needs), hub_model(needs)
    until(lambda: host.ask(model.download.command).stdout.startswith("over"))
    had = partial(needs)

    hub.rate = None
    told = list[str]()
    apply(needs, told)

    assert "o/m was begun before: 0.0 GB in 1 partial files" == told[0]
    assert f"bytes={had}-" == hub.asked("/cdn/")[-1].range
    assert [] == list(Path(model.home, "hub").glob("*/blobs/*.incomplete"))


def test_a_download_that_is_killed_under_our_eyes_is_told(
    wanted: Callable[..., Needs], hub: Hub
) -> None:
    """One sentence, and that nothing is lost."""
    hub.rate = 5e6
    needs = wanted()

    def kill(line: str) -> None:
        os.killpg(pid(needs), signal.SIGKILL)

    (step,) = deploy.steps(needs)
    host = a_host(needs)
    host.apply(step.operations[0])
    assert step.run
    with pytest.raises(HostError, match=r"^The download of o/m was killed .* run it again\.$"):
        step.run(host, kill)


def test_a_second_controller_joins(wanted: Callable[..., Needs], hub: Hub) -> None:
    """The first is gone, its download is not; nothing is started twice."""
    hub.rate = 20e6
    needs, told = wanted(), list[str]()
    started(needs)

    host = apply(needs, told)

    assert ("o/m is being downloaded already", []) == (told[0], host.ran)
    assert 1 == begun(hub)
    assert deploy.about(host, needs)["commit"]


def test_two_that_start_at_once_start_one(wanted: Callable[..., Needs], hub: Hub) -> None:
    """Both saw nothing; the host's lock decides."""
    hub.rate = 20e6
    needs = wanted()
    model, hosts = hub_model(needs), [a_host(needs), a_host(needs)]
    hosts[0].apply(operations.prepared, model)
    for host in hosts:
        host.gather(*operations.facts(model))
    for host in hosts:
        host.apply(operations.started, model, None)
    apply(needs)
    assert 1 == begun(hub)


def test_a_download_is_stopped(wanted: Callable[..., Needs], hub: Hub) -> None:
    """What it has brought stays; stopping what does not run is no command."""
    hub.rate = 5e6
    needs = wanted()
    started(needs)
    model = hub_model(needs)
    assert True is a_host(needs).apply(operations.stopped, model)
    assert "over" == a_host(needs).fact(model.download).state
    assert False is a_host(needs).apply(operations.stopped, model)


def test_a_removed_file_is_found_and_brought(wanted: Callable[..., Needs]) -> None:
    """Somebody cleaned up between two runs."""
    needs = wanted()
    path = Path(deploy.about(apply(needs), needs)["path"], "config.json")
    path.resolve().unlink()
    host = apply(needs)
    assert path.is_file()
    assert host.ran


def test_a_disk_that_is_too_small_is_told(
    wanted: Callable[..., Needs], workdir: Path, request: pytest.FixtureRequest
) -> None:
    """Before anything is downloaded, in gigabytes."""
    home = workdir / "models"
    home.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "none", str(home)]
    if os.geteuid() or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("nobody may mount a small disk here")
    request.addfinalizer(lambda: subprocess.run(["umount", "-l", str(home)], check=True))

    told = refusal(wanted())

    assert "0.03 GB of o/m are missing on " in told
    assert "there is room for 0.01 GB. Make room there" in told
    assert [] == [path for path in home.rglob("blobs/*") if path.stat().st_size]


@pytest.mark.parametrize(
    ("name", "keys", "token", "sentence"),
    [
        ("o/none", {}, None, "has no model o/none that is open to everybody. Correct model.name"),
        ("o/none", {}, "poor", "has no model o/none that your HF_TOKEN may see."),
        ("o/m", {"revision": "v9"}, None, "has no revision v9 of the model o/m."),
        ("o/gated", {}, None, "The model o/gated is gated, and no HF_TOKEN is set. Ask for access"),
        ("o/gated", {}, "poor", "gated, and your HF_TOKEN's account has no access."),
        ("o/m", {}, "invalid", "does not accept your HF_TOKEN. Set HF_TOKEN to a valid token"),
        ("o/m", {"hub": "http://127.0.0.1:9"}, None, "The host does not get through to http://"),
    ],
)
def test_what_is_wrong_is_told_in_a_sentence(  # noqa: PLR0917 - a table's columns
    wanted: Callable[..., Needs],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    keys: dict[str, str],
    token: str | None,
    sentence: str,
) -> None:
    """And what to do about it."""
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    told = refusal(wanted(name, **keys))
    assert sentence in told
    assert "Traceback" not in told


def test_a_dry_run_changes_nothing(wanted: Callable[..., Needs], hub: Hub, workdir: Path) -> None:
    """It lists what would be done."""
    needs = wanted()
    host = Host(LocalRemote(workdir), str(workdir), dry_run=True)
    apply(needs, host=host)
    assert "start the download of o/m" == str(host.planned[-1])
    assert ([], False) == (hub.seen, Path(hub_model(needs).folder).exists())


def test_a_model_of_no_hub_is_no_step(wanted: Callable[..., Needs]) -> None:
    """The simulator's, for one."""
    needs = wanted("simulated-1b")
    assert ((), {}) == (deploy.steps(needs), deploy.about(a_host(needs), needs))


@pytest.mark.parametrize("keys", [{}, {"path": "/m"}])
def test_an_engine_that_reads_no_weights_needs_none(
    wanted: Callable[..., Needs], keys: dict[str, str]
) -> None:
    """A rehearsal of a recipe downloads nothing."""
    needs = replace(wanted(**keys), weights=False)
    assert ((), {}) == (deploy.steps(needs), deploy.about(a_host(needs), needs))


def test_a_receipt_that_is_torn_counts_as_none(wanted: Callable[..., Needs], hub: Hub) -> None:
    """The hub is asked again, nothing is fetched again."""
    needs = wanted()
    apply(needs)
    (receipt,) = Path(hub_model(needs).home, "dyno").glob("models--*/*.json")
    receipt.write_text("{")
    fetched = len(hub.asked("/cdn/"))
    apply(needs)
    assert fetched == len(hub.asked("/cdn/"))
    assert 4 == len(json.loads(receipt.read_text())["files"])
