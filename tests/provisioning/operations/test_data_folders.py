"""Folders on the data disk."""

from __future__ import annotations

import pytest

from provisioning.errors import HostError
from provisioning.facts.groups import Membership
from provisioning.facts.paths import AtPath, Found
from provisioning.facts.places import Place
from provisioning.host_schema import HostNeeds
from provisioning.needs import Needs
from provisioning.operations import data_folders
from provisioning.recipe_schema import Model
from tests.provisioning.fakes import FakeHost

PLAIN = Needs(HostNeeds(), Model(name="m"), None, "/w", "/data")
DOCKER = Needs(HostNeeds.model_validate({"docker": {}}), Model(name="m"), None, "/w", "/data")
OURS = {
    AtPath("/data/models"): Found("directory", 0o755, "", "me:us"),
    AtPath("/data/results"): Found("directory", 0o700, "", "me:us"),
    AtPath("/data/environments"): Found("directory", 0o755, "", "me:us"),
}


def having(runs: str = "link /data/results", **changed: Found | None) -> FakeHost:
    changes = {AtPath(f"/data/{name}"): found for name, found in changed.items()}
    answers = {**OURS, **changes, Place("/w/runs"): runs}
    return FakeHost(answers, Groups=Membership("me", frozenset({"us"})))


def test_folders_that_are_ours_need_nothing() -> None:
    """Of our user, with their modes, and runs lead there."""
    assert [] == list(data_folders.owned(having(), PLAIN))


@pytest.mark.parametrize(
    "found",
    [None, Found("directory", 0o777, "", "me:us"), Found("directory", 0o755, "", "root:root")],
    ids=["absent", "mode", "owner"],
)
def test_a_folder_is_made_ours(found: Found | None) -> None:
    """By root, for the disk is root's."""
    (command,) = data_folders.owned(having(models=found), PLAIN)
    assert ("make folder /data/models (0755, me)", True) == (str(command), command.sudo)


def test_a_folder_of_somebody_else_is_not_taken() -> None:
    """The disk was in use before: his results, or models, are not made ours."""
    theirs = Found("directory", 0o700, "", "ann:ann")
    with pytest.raises(HostError, match="/data/results belongs to ann, not to me"):
        list(data_folders.owned(having(results=theirs), PLAIN))


@pytest.mark.parametrize("runs", ["nothing", "empty"])
def test_runs_are_led_to_the_disk(runs: str) -> None:
    """Where there are none yet."""
    (command,) = data_folders.owned(having(runs), PLAIN)
    assert ("link /w/runs to /data/results", False) == (str(command), command.sudo)


@pytest.mark.parametrize("runs", ["filled", "link /elsewhere", "other"])
def test_runs_that_are_there_stay(runs: str) -> None:
    """They may be under way, and their results are nowhere else."""
    assert [] == list(data_folders.owned(having(runs), PLAIN))


def test_docker_waits_for_the_disk() -> None:
    """By a file of ours beside its unit; systemd reads it."""
    asked = data_folders.facts(DOCKER)
    host = FakeHost({fact: None for fact in asked if isinstance(fact, AtPath)})
    folders = [f"/etc/systemd/system/{name}.service.d" for name in ("docker", "containerd")]
    shown = [str(command) for command in data_folders.awaited(host, DOCKER)]
    assert [f"make folder {folder} (0755)" for folder in folders] == shown[0:4:2]
    assert "sudo -n systemctl daemon-reload" == shown[4]
    assert [] == list(data_folders.awaited(host, PLAIN))


def test_nothing_is_read_again_when_nothing_changed() -> None:
    """Both files are as they should be."""
    asked = [fact for fact in data_folders.facts(DOCKER) if isinstance(fact, AtPath) and fact.sudo]
    content = "[Unit]\nRequiresMountsFor=/data\n"
    digest = data_folders.files._sha256(content)
    answers = {
        fact: Found("file", 0o644, digest)
        if fact.path.endswith(".conf")
        else Found("directory", 0o755)
        for fact in asked
    }
    assert [] == list(data_folders.awaited(FakeHost(answers), DOCKER))
