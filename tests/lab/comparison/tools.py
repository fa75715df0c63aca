"""The three tools: how each is called for a host, and how it says that nothing was changed."""

from __future__ import annotations

import json
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.lab.comparison import tree
from tests.lab.host import ADDRESS, LabHost
from tests.lab.machine import HOME
from tests.lab_tests.stacks import LabStack

OWN = Path(__file__).parent
ASKED = ("--set", f"host={json.dumps(yaml.safe_load((OWN / 'host.yaml').read_text()))}")
# `fab` as it is, with one more folder of topics.
_WITH_TREE = f"""\
import sys
from provisioning import deploys
deploys.__path__.append({str(OWN / "topics")!r})
sys.argv[0] = "fab"
from fabric.main import program
program.run()
"""
_PYINFRA_TOTAL = re.compile(r"Grand total\s+(\d+)\s+\S+\s+\S+\s+(\d+)")


@dataclass(frozen=True)
class Call:
    """A command line, and what is around it."""

    argv: tuple[str, ...]
    env: dict[str, str]


@dataclass(frozen=True)
class Fab:
    """`fab provision`, for a stack of one host or several."""

    stack: LabStack
    name: str = "fab"

    def call(self, *, with_tree: bool) -> Call:
        """Its command line."""
        argv = self.stack.argv("provision", "--json", *ASKED)
        program = (sys.executable, "-c", _WITH_TREE, *argv[1:]) if with_tree else tuple(argv)
        return Call(program, self.stack.env)

    def unchanged(self, said: str) -> bool:
        """Whether no host was changed, by what it printed."""
        return all(host.get("changed") == [] for host in json.loads(said)["hosts"])


@dataclass(frozen=True)
class Pyinfra:
    """pyinfra, for one host; *folder* is for files of ours."""

    host: LabHost
    programs: Path
    folder: Path
    name: str = "pyinfra"

    def call(self, *, with_tree: bool) -> Call:
        """Its command line."""
        inventory = self.folder / f"{self.host.name}.py"
        inventory.write_text(f"hosts = [({self.host.name!r}, {self._login()!r})]\n")
        argv = [str(self.programs / "pyinfra"), "-y", str(inventory), str(OWN / "deploy.py")]
        more = ["--data", f"tree={self.folder / 'tree'}"] if with_tree else []
        return Call((*argv, *more), dict(os.environ))

    def unchanged(self, said: str) -> bool:
        """Whether all operations say so."""
        total = _PYINFRA_TOTAL.search(said)
        return total is not None and total[1] == total[2]

    def _login(self) -> dict[str, Any]:
        return {
            "ssh_hostname": ADDRESS,
            "ssh_port": self.host.port,
            "ssh_user": self.host.user,
            "ssh_key": str(self.host.key_file),
            "ssh_known_hosts_file": str(_known_hosts(self.host)),
            "ssh_strict_host_key_checking": "yes",
            "place": tree.PLACE,
        }


@dataclass(frozen=True)
class Ansible:
    """ansible-playbook with pipelining, for one host."""

    host: LabHost
    programs: Path
    folder: Path
    name: str = "ansible"

    def call(self, *, with_tree: bool) -> Call:
        """Its command line."""
        inventory = self.folder / f"{self.host.name}.yaml"
        inventory.write_text(json.dumps({"all": {"hosts": {self.host.name: self._login()}}}))
        playbook = str(OWN / "playbook.yaml")
        argv = [str(self.programs / "ansible-playbook"), "-i", str(inventory), playbook]
        more = ["-e", f"tree={self.folder / 'tree'}"] if with_tree else []
        own = {"ANSIBLE_PIPELINING": "1", "ANSIBLE_HOME": str(self.folder / "ansible")}
        return Call((*argv, *more), os.environ | own)

    def unchanged(self, said: str) -> bool:
        """Whether its last line says so."""
        return " changed=0 " in said and " failed=0 " in said

    def _login(self) -> dict[str, Any]:
        return {
            "ansible_host": ADDRESS,
            "ansible_port": self.host.port,
            "ansible_user": self.host.user,
            "ansible_ssh_private_key_file": str(self.host.key_file),
            "ansible_ssh_common_args": f"-o UserKnownHostsFile={_known_hosts(self.host)}",
            "ansible_python_interpreter": "/usr/bin/python3",
            "place": tree.PLACE,
        }


Tool = Fab | Pyinfra | Ansible


def _known_hosts(host: LabHost) -> Path:
    return HOME / "hosts" / host.name / "known_hosts"
