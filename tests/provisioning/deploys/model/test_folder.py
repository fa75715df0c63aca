"""A model that lies in a folder of the host."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from provisioning.deploys import model as deploy
from provisioning.errors import HostError
from provisioning.host_schema import DataDisk, HostNeeds
from provisioning.needs import Needs
from tests.provisioning.deploys.model.rig import a_host, apply, refusal
from tests.provisioning.hub import Hub

pytestmark = pytest.mark.integration


def test_a_model_in_a_folder_is_used_as_it_is(
    wanted: Callable[..., Needs], tmp_path: Path, hub: Hub
) -> None:
    """One exchange, no command, and no hub."""
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "config.json").write_text("{}")
    needs = wanted(path=str(tmp_path / "m"))

    host = apply(needs)

    about = deploy.about(host, needs)
    assert (str(tmp_path / "m"), 2, 1) == (about["path"], about["bytes"], about["files"])
    assert "44136fa3" == about["config_sha256"][:8]
    assert (1, [], []) == (host.remote.exchanges, host.ran, hub.seen)


def test_a_folder_without_a_model_is_told(wanted: Callable[..., Needs], tmp_path: Path) -> None:
    """Missing, or empty."""
    needs = wanted(path=str(tmp_path / "m"))
    assert f"There is no model in {tmp_path / 'm'} on " in refusal(needs)
    (tmp_path / "m").mkdir()
    assert "Correct model.path" in refusal(needs)


def test_a_folder_on_a_disk_to_be_mounted_is_looked_for_late(
    wanted: Callable[..., Needs], tmp_path: Path
) -> None:
    """Facts from before tell nothing of it."""
    given = wanted(path=str(tmp_path / "m"))
    needs = Needs(HostNeeds(data_disk=DataDisk()), given.model, None, given.workdir, given.data)
    (step,) = deploy.steps(needs)
    host = a_host(needs)
    assert step.check
    step.check(host)
    assert step.run
    with pytest.raises(HostError, match="There is no model"):
        step.run(host, print)
    assert "disks" in step.after
