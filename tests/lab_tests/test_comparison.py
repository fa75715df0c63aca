"""The comparison of `fab provision` with other tools is one of the same operations."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from provisioning.host_schema import HostNeeds
from tests.lab.comparison import environment, measure, table, tree
from tests.lab.comparison.__main__ import LISTS_ARE_NEW
from tests.lab.comparison.tools import OWN, Ansible, Fab, Pyinfra, Tool
from tests.lab.host import LabHost
from tests.lab.lab import Lab
from tests.lab_tests.stacks import stack_of

INSTALLED = pytest.mark.skipif(
    not environment.there(),
    reason="pyinfra and Ansible are not installed: `python -m tests.lab.comparison` does it",
)
ASKED = yaml.safe_load((OWN / "host.yaml").read_text())
TIMES = {"fab": [1.0, 1.2, 1.1], "pyinfra": [5.0, 4.0, 4.4]}


@pytest.fixture(scope="module")
def host(lab: Lab) -> Iterator[LabHost]:
    """One that `fab provision` made what is asked for, Docker there before."""
    found = lab.host(docker=True)
    yield found
    lab.remove(found)


@pytest.fixture(scope="module")
def tools(host: LabHost, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Tool]]:
    """All three, by name; `fab provision` was there."""
    folder = tmp_path_factory.mktemp("tools")
    tree.write(folder)
    programs = environment.folder() / "bin"
    with stack_of(tmp_path_factory.mktemp("stack"), host) as stack:
        fab = Fab(stack)
        measure.run(fab, folder, with_tree=True, unchanged=False)
        host.docker_exec(LISTS_ARE_NEW)
        others = (Pyinfra(host, programs, folder), Ansible(host, programs, folder))
        yield {tool.name: tool for tool in (fab, *others)}


@INSTALLED
@pytest.mark.lab
@pytest.mark.integration
@pytest.mark.parametrize("name", ["fab", "pyinfra", "ansible"])
def test_all_agree_that_nothing_is_to_change(
    tools: dict[str, Tool], tmp_path: Path, name: str
) -> None:
    """What `fab provision` made is what the others' deploy and playbook ask for, to the mode."""
    assert measure.run(tools[name], tmp_path, with_tree=True, unchanged=True).said


@INSTALLED
@pytest.mark.lab
@pytest.mark.integration
@pytest.mark.parametrize("name", ["fab", "pyinfra", "ansible"])
def test_each_sees_a_file_that_was_changed(
    host: LabHost, tools: dict[str, Tool], tmp_path: Path, name: str
) -> None:
    """Agreement above is no blindness: one file of the tree is put right again by each."""
    path = f"{tree.PLACE}/b/04.conf"
    host.docker_exec(f"echo >>{path}")
    measure.run(tools[name], tmp_path, with_tree=True, unchanged=False)
    assert tree.files()["b/04.conf"].strip() == host.docker_exec(f"cat {path}")


def playbook() -> list[dict[str, Any]]:
    """Ansible's tasks."""
    (play,) = yaml.safe_load((OWN / "playbook.yaml").read_text())
    return list(play["tasks"])


def test_all_install_the_same_packages() -> None:
    """Those of host.yaml, and what `docker.source: distribution` brings."""
    tree_ = ast.parse((OWN / "deploy.py").read_text())
    values = {
        node.targets[0].id: node.value
        for node in tree_.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    (apt,) = (task["ansible.builtin.apt"] for task in playbook() if "ansible.builtin.apt" in task)
    assert ASKED["packages"] == ast.literal_eval(values["PACKAGES"])
    assert [*ASKED["packages"], "docker.io", "ca-certificates"] == apt["name"]


def test_what_is_asked_for_is_a_recipes_section() -> None:
    """A key that no recipe has would make every run of the comparison fail."""
    assert HostNeeds.model_validate(ASKED).packages == ASKED["packages"]


def test_the_share_is_that_of_the_medians() -> None:
    """1.1 s against 4.4 s is a quarter; no line is wider than a terminal."""
    lines = table.against(TIMES)
    assert ["pyinfra", "4.40", "4.00", "5.00", "0.25"] == lines[2].split()
    assert max(map(len, (*lines, *table.OPERATIONS.splitlines()))) <= 80


def test_the_ratio_of_several_hosts_is_shown() -> None:
    """Two seconds for eight against one for one."""
    lines = table.of_hosts(8, {"1": [1.0], "8": [2.0]})
    assert ["ratio", "2.00", "2.00", "(bound", "2.5)"] == lines[-1].split()
