"""A stand-in hub, a host on this machine, and recipes that want a model of the one on the other."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from provisioning import model_follow
from provisioning.host_schema import HostNeeds
from provisioning.models import of
from provisioning.needs import Needs
from provisioning.recipe_schema import Model
from tests.provisioning import hub as stand_in
from tests.provisioning.deploys.model.rig import MARKER, SIZE, WEIGHTS
from tests.provisioning.hub import Hub


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody's own token and hub; news at every look, many looks."""
    for name in ("HF_TOKEN", "HF_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(model_follow, "POLL_S", 0.05)
    monkeypatch.setattr(model_follow, "SAY_S", 0.0)


@pytest.fixture(scope="module")
def weights() -> dict[str, stand_in.Model]:
    large = {WEIGHTS: SIZE}
    gated = stand_in.model(large, gated=True, readers=(MARKER,))
    return {"o/m": stand_in.model(large), "o/gated": gated}


@pytest.fixture
def hub(weights: dict[str, stand_in.Model]) -> Iterator[Hub]:
    with stand_in.serving(weights) as hub:
        hub.tokens = (MARKER, "poor")
        yield hub


@pytest.fixture
def workdir(tmp_path: Path) -> Iterator[Path]:
    """With a blank in its path; downloads that were started there end with the test."""
    workdir = tmp_path / "w x"
    yield workdir
    for pid in workdir.glob("models/dyno/*/pid"):
        with suppress(ProcessLookupError, ValueError):
            os.killpg(int(pid.read_text()), signal.SIGKILL)


@pytest.fixture
def wanted(hub: Hub, workdir: Path) -> Callable[..., Needs]:
    """What a recipe needs that has these keys below ``model``; the downloader's tools are there."""

    def make(name: str = "o/m", **keys: str) -> Needs:
        given = Model.model_validate({"name": name, "hub": hub.url} | keys)
        needs = Needs(HostNeeds(), given, None, str(workdir), str(workdir))
        if model := of(needs):
            tool = Path(model.tool)
            (tool / "bin").mkdir(parents=True, exist_ok=True)
            (tool / "bin" / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
            (tool / "bin" / "python").chmod(0o755)
            (tool / "pyvenv.cfg").write_text("version_info = 3.11.7\n")
        return needs

    return make
