"""The step of the virtual environment."""

from __future__ import annotations

from typing import Any

from provisioning.deploys import python_env
from provisioning.facts.python import Python
from provisioning.facts.python_env import Environment
from provisioning.facts.system import Machine
from provisioning.host_schema import HostNeeds
from provisioning.needs import Needs
from provisioning.recipe_schema import Model
from provisioning.versions import UV
from tests.provisioning.fakes import FakeHost

MACHINE = Machine("h", "6.1", "x86_64", "Debian", "cpu", 4, 16384, "b")


def needs(**asked: Any) -> Needs:
    return Needs(HostNeeds.model_validate(asked), Model(name="m"), None, "/w", "/data")


def test_no_environment_is_no_step() -> None:
    """And nothing for the manifest."""
    assert () == python_env.steps(needs())
    assert {} == python_env.about(FakeHost(), needs())


def test_uv_comes_before_what_it_makes() -> None:
    """After the disk and what apt installs."""
    (step,) = python_env.steps(needs(python={"packages": ["a==1"]}))
    pythons = (Python("/usr/bin/python3", (3, 11, 2)),)
    host = FakeHost(PythonEnv=None, Uv=False, Pythons=pythons, System=MACHINE)
    words = [str(c).split()[0] for operation in step.operations for c in operation(host)]
    assert (["fetch", "make"], ("preflight", "disks", "packages")) == (words, step.after)
    assert step.check is not None
    step.check(host)


def test_every_package_is_told() -> None:
    """Not only those that were asked for."""
    asked = needs(python={"packages": ["a==1"]})
    told = python_env.about(FakeHost(PythonEnv=Environment("3.11.2", ("a==1", "b==2"))), asked)
    assert {
        "folder": python_env.path(asked),
        "uv": UV,
        "python": "3.11.2",
        "packages": ("a==1", "b==2"),
    } == told
    assert {"folder", "uv"} == python_env.about(FakeHost(PythonEnv=None), asked).keys()
