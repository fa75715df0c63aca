"""The comparison of `fab provision` with other tools is one of the same operations."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.comparison import environment, measure, tree
from tests.lab.comparison.__main__ import LISTS_ARE_NEW
from tests.lab.comparison.tools import Ansible, Fab, Pyinfra, Tool
from tests.lab.host import LabHost
from tests.lab.lab import Lab
from tests.lab_tests.stacks import stack_of

pytestmark = [
    pytest.mark.integration,
    pytest.mark.lab,
    pytest.mark.skipif(
        not environment.there(),
        reason="pyinfra and Ansible are not installed: `python -m tests.lab.comparison` does it",
    ),
]


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


@pytest.mark.parametrize("name", ["fab", "pyinfra", "ansible"])
def test_all_agree_that_nothing_is_to_change(
    tools: dict[str, Tool], tmp_path: Path, name: str
) -> None:
    """What `fab provision` made is what the others' deploy and playbook ask for, to the mode."""
    assert measure.run(tools[name], tmp_path, with_tree=True, unchanged=True).said


@pytest.mark.parametrize("name", ["fab", "pyinfra", "ansible"])
def test_each_sees_a_file_that_was_changed(
    host: LabHost, tools: dict[str, Tool], tmp_path: Path, name: str
) -> None:
    """Agreement above is no blindness: one file of the tree is put right again by each."""
    path = f"{tree.PLACE}/b/04.conf"
    host.docker_exec(f"echo >>{path}")
    measure.run(tools[name], tmp_path, with_tree=True, unchanged=False)
    assert tree.files()["b/04.conf"].strip() == host.docker_exec(f"cat {path}")
