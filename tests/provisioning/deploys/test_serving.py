"""What has to be there before an engine is started."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from provisioning.deploys import serving
from provisioning.deploys.step import Step
from provisioning.errors import HostError
from provisioning.facts.gpus import Gpus
from provisioning.facts.groups import Groups, Membership
from provisioning.facts.paths import AtPath, Found
from provisioning.facts.sudo import Sudo
from provisioning.facts.topology import Topology
from provisioning.needs import Needs
from provisioning.operations import services
from provisioning.recipe_schema import Layout
from tests.provisioning import gpu_hosts
from tests.provisioning.gpu_hosts import RTX, lines


def wanted(changes: dict[str, Any], **asked: Any) -> Needs:
    """What a recipe needs, with *changes*."""
    return replace(gpu_hosts.needs(**asked), **changes)


def step(needs: Needs) -> Step:
    (found,) = serving.steps(needs)
    return found


def check(needs: Needs, **facts: Any) -> None:
    judge = step(needs).check
    assert judge is not None
    judge(gpu_hosts.served(**facts))


def test_an_engine_that_needs_nothing_has_no_step() -> None:
    """The rehearsal."""
    assert () == serving.steps(wanted({"weights": False, "launcher": "process"}))


def test_too_few_gpus_are_told_before_anything_is_done() -> None:
    """By what the driver sees."""
    needs = wanted({"layout": Layout(tensor_parallel=2)}, gpu={})
    check(needs, Gpus=(RTX, replace(RTX, index=1)), GpuTopology=Topology())
    with pytest.raises(HostError, match="needs 2 GPUs"):
        check(needs, Gpus=(RTX,), GpuTopology=Topology())


@pytest.mark.parametrize("asked", [{}, {"mig": "4g.96gb"}])
def test_gpus_that_are_yet_to_come_are_judged_later(asked: dict[str, str]) -> None:
    """Their driver is, or they are not divided yet."""
    needs = wanted({"layout": Layout(instances=4)}, gpu=asked)
    check(needs, Gpus=(RTX,) if asked else ())


def test_a_unit_needs_systemd() -> None:
    """And root, which is asked for with the other facts."""
    needs = wanted({"launcher": "systemd", "weights": False})
    assert (services.FACT, Sudo()) == step(needs).facts
    assert () == step(needs).operations
    check(needs)
    with pytest.raises(HostError, match="systemd, which does not run on fake-host") as caught:
        check(needs, Units=())
    assert "--set launcher=process" in caught.value.advice


@pytest.mark.parametrize(("disk", "sudo"), [(False, False), (True, True)])
def test_a_folder_for_caches_is_made(disk: bool, sudo: bool) -> None:
    """On a data disk by root, and it is our user's."""
    needs = wanted({}, **({"data_disk": {}} if disk else {}))
    path = "/data/cache" if disk else "/w/cache"
    operate = step(needs).operations[0]
    facts = {"Groups": Membership("dyno", frozenset())}
    (command,) = operate(gpu_hosts.fresh({AtPath(path): None}, **facts))
    assert (f"make folder {path}", sudo) == (lines([command])[0], command.sudo)
    assert (path, "dyno", "755") == command.argv[-3:]
    found = Found("directory", 0o755, "", "dyno:dyno")
    assert [] == list(operate(gpu_hosts.fresh({AtPath(path): found}, **facts)))
    assert {AtPath(path), Groups()} <= set(step(needs).facts)


def test_it_waits_for_disks_and_gpus() -> None:
    """The folder lies on one, the check counts the others."""
    found = step(wanted({}, gpu={}))
    assert {"disks", "gpu"} <= set(found.after)
    assert Gpus() in found.facts
