"""What the download needs on a host, told from facts alone."""

from __future__ import annotations

from typing import Any

import pytest

from provisioning.facts.download import Going
from provisioning.facts.model_cache import Cached
from provisioning.facts.paths import AtPath
from provisioning.facts.python import Python
from provisioning.models import HubModel
from provisioning.operations import model as operations
from provisioning.versions import HUB_TOOL
from tests.provisioning.fakes import FakeHost

MODEL = HubModel("o/m", None, "https://hub", "/d/models", "https://index")
NEW: dict[str, Any] = {
    "ModelCache": Cached(complete=False),
    "Download": Going("none"),
    "PythonEnv": None,
    "Uv": True,
    "Pythons": (Python("/usr/bin/python3", (3, 11, 2)),),
    "System": None,
}


def host(**known: Any) -> FakeHost:
    nothing: dict[Any, None] = {
        fact: None for fact in operations.facts(MODEL) if isinstance(fact, AtPath)
    }
    return FakeHost(nothing, **(NEW | known))


def test_folders_program_and_task_are_put_there() -> None:
    """The folder of the task, which may hold a token for a moment, is for us alone."""
    told = [str(command) for command in operations.prepared(host(), MODEL)]
    assert ["make folder /d/models (0755)", "make folder /d/models/dyno (0755)"] == told[:2]
    assert f"make folder {MODEL.folder} (0700)" == told[2]
    assert f"write {MODEL.program} (0644" == told[3].partition(",")[0]
    assert f"write {MODEL.folder}/task.json (0600" == told[4].partition(",")[0]


def test_the_downloader_is_the_pinned_one() -> None:
    """From the index that the recipe names for packages."""
    (command,) = operations.equipped(host(), MODEL)
    assert [f"package {each}" for each in HUB_TOOL] == command.payload().decode().splitlines()
    assert ("UV_DEFAULT_INDEX", "https://index") in command.env


def test_what_installs_it_is_there_already() -> None:
    """Other environments are made by it too."""
    assert [] == list(operations.installer(host(), MODEL))


@pytest.mark.parametrize(
    "known",
    [{"ModelCache": Cached(complete=True, commit="c")}, {"Download": Going("running")}],
    ids=["cached", "on its way"],
)
def test_nothing_is_to_do_where_the_model_is_or_comes(known: dict[str, Any]) -> None:
    """Whatever else is missing."""
    for operation in (operations.prepared, operations.installer, operations.equipped):
        assert [] == list(operation(host(**known), MODEL))
    assert [] == list(operations.started(host(**known), MODEL, None))


def test_only_what_runs_is_stopped() -> None:
    """By the program that started it."""
    assert [] == list(operations.stopped(host(), MODEL))
    (command,) = operations.stopped(host(Download=Going("running")), MODEL)
    assert ("stop", MODEL.folder) == command.argv[-2:]
