"""Which model is meant, and where on the host it is."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from provisioning import models
from provisioning.host_schema import HostNeeds
from provisioning.models import HubModel
from provisioning.needs import Needs
from provisioning.recipe_schema import Model


def needs(**keys: str) -> Needs:
    return Needs(HostNeeds(), Model.model_validate(keys), None, "/w", "/data/")


@pytest.fixture(autouse=True)
def nobodys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_TOKEN", "HF_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)


def test_a_name_with_an_organisation_is_a_hubs() -> None:
    """The public hub's, in the cache on the data disk."""
    expected = HubModel("Qwen/Qwen3-32B-FP8", None, "https://huggingface.co", "/data/models")
    assert expected == models.of(needs(name="Qwen/Qwen3-32B-FP8"))


@pytest.mark.parametrize(
    "keys",
    [
        {"name": "simulated-1b"},
        {"name": "/srv/m"},
        {"name": "a/b/c"},
        {"name": "o/m", "path": "/m"},
    ],
)
def test_other_models_are_not_brought(keys: dict[str, str]) -> None:
    """A plain name, a path, a model that lies in a folder."""
    assert None is models.of(needs(**keys))


def test_the_recipes_hub_comes_before_the_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    """And that before the public one."""
    monkeypatch.setenv("HF_ENDPOINT", "https://mirror/")
    found = [models.of(needs(name="o/m", **keys)) for keys in ({}, {"hub": "https://own"})]
    assert ["https://mirror", "https://own"] == [model.hub for model in found if model]


def test_the_token_is_a_secret_or_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty one is none."""
    assert None is models.token()
    monkeypatch.setenv("HF_TOKEN", " \n")
    assert None is models.token()
    monkeypatch.setenv("HF_TOKEN", "hf_x\n")
    token = models.token()
    assert token
    assert ("[REDACTED]", "hf_x") == (repr(token), token.reveal())


def test_each_download_has_a_folder_of_its_own() -> None:
    """By name, revision and hub."""
    one = HubModel("o/m", None, "https://hub", "/h")
    others = [replace(one, **{key: "x"}) for key in ("name", "revision", "hub")]
    assert 4 == len({model.folder for model in (one, *others)})
    assert one.folder.startswith("/h/dyno/o--m-")
    assert {"name": "o/m", "revision": None, "hub": "https://hub", "home": "/h"} == json.loads(
        one.task
    )


def test_the_program_runs_alone(tmp_path: Path) -> None:
    """Named by its hash; nothing of ours is needed beside it but what is in it."""
    program = tmp_path / "p.pyz"
    program.write_bytes(models.program())
    (tmp_path / "job").mkdir()
    argv = [sys.executable, "-I", str(program), "stop", str(tmp_path / "job")]
    done = subprocess.run(argv, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert ("not running\n", "") == (done.stdout, done.stderr)
    mark = hashlib.sha256(models.program()).hexdigest()[:12]
    assert f"/h/dyno/model_fetch-{mark}.pyz" == HubModel("o/m", None, "", "/h").program
