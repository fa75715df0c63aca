"""The script that installs packages, in a real shell, with stand-ins for apt."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from provisioning.operations import apt

pytestmark = pytest.mark.integration
SCRIPT = (Path(apt.__file__).parent / "apt_install.sh").read_text(encoding="utf-8")
#: Fails in the words of the file of its verb as often as there are such files; notes its arguments.
APT_GET = """
echo "$*" >>"$HERE/asked"
case "$*" in *' update') verb=update ;; *) verb=install ;; esac
for n in 1 2; do
  [ -e "$HERE/$verb$n" ] || continue
  cat "$HERE/$verb$n"; rm "$HERE/$verb$n"; exit 100
done
[ ! -e "$HERE/$verb" ] || { cat "$HERE/$verb"; exit 100; }
"""
BUSY = "E: Could not get lock {}. It is held by process 3402 (apt.systemd.dai)\n"
LISTS, DPKG = BUSY.format("/var/lib/apt/lists/lock"), BUSY.format("/var/lib/dpkg/lock-frontend")
REMOVED = """\
The following packages will be REMOVED:
  containerd docker.io
  runc
The following NEW packages will be installed:
  docker-ce
E: Packages need to be removed but remove is disabled.
"""


@dataclass(frozen=True)
class Machine:
    """A folder in place of /var, and programs in front of the machine's own."""

    folder: Path

    def program(self, name: str, script: str) -> None:
        path = self.folder / "bin" / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def write(self, name: str, text: str = "") -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def installs(self, *names: str, **env: str) -> subprocess.CompletedProcess[str]:
        script = SCRIPT.replace("/var/", f"{self.folder}/var/")
        given = {"PATH": f"{self.folder}/bin:{os.environ['PATH']}", "HERE": str(self.folder)}
        return subprocess.run(
            ["sh", "-c", script, "sh", *names],
            env=given | env,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    @property
    def asked(self) -> list[str]:
        return (self.folder / "asked").read_text().splitlines()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """Nobody holds a lock, and its lists have `there` and no others."""
    made = Machine(tmp_path)
    (tmp_path / "bin").mkdir()
    (tmp_path / "var" / "log").mkdir(parents=True)
    made.program("apt-get", APT_GET)
    made.program("apt-cache", '[ "$2" = there ] || [ "$2" = jq ]')
    for name in ("lslocks", "dpkg"):
        made.program(name, "exit 0")
    return made


def test_lists_that_somebody_updates_are_waited_for(machine: Machine) -> None:
    """Apt does not wait for that lock: it is tried again, and who has it is named."""
    machine.write("update1", LISTS)
    machine.write("update2", LISTS)
    done = machine.installs("jq")
    assert (0, 1) == (done.returncode, done.stdout.count("waiting for apt.systemd.dai"))
    assert "dyno: waiting for apt.systemd.dai (process 3402), which holds apt's lock" in done.stdout
    assert 3 == sum(line.endswith(" update") for line in machine.asked)


@pytest.mark.parametrize(("verb", "said"), [("update", LISTS), ("install", DPKG)])
def test_nobody_waits_for_ever(machine: Machine, verb: str, said: str) -> None:
    """One limit for all locks; then it is told who has the one."""
    machine.write(verb, said)
    done = machine.installs("jq", DYNO_APT_WAIT_S="2")
    assert 75 == done.returncode
    told = apt.explained(done.stderr)
    assert told is not None
    assert "kept busy by apt.systemd.dai (process 3402)." in told[0]


def test_archives_that_do_not_answer_are_no_lock(machine: Machine) -> None:
    """They are warned of, once: what is wanted may come from others."""
    machine.write(
        "update1", "E: The repository 'http://x y Release' does not have a Release file.\n"
    )
    done = machine.installs("jq")
    assert (0, 1) == (done.returncode, sum(line.endswith(" update") for line in machine.asked))


def test_a_failure_after_a_wait_is_that_failure(machine: Machine) -> None:
    """That apt itself had to wait for a lock before does not matter."""
    waits = "Waiting for cache lock: Could not get lock /var/lib/dpkg/lock-frontend.\n"
    machine.write("install", f"{waits}E: Unable to locate package jq\n")
    done = machine.installs("jq")
    assert 100 == done.returncode
    assert "Unable to locate package jq" in done.stderr


def test_packages_of_others_are_not_removed(machine: Machine) -> None:
    """Apt is told so; its refusal names all of them, and what to do."""
    machine.write("install", REMOVED)
    done = machine.installs("jq")
    assert all("APT::Get::Remove=false" in line for line in machine.asked)
    told = apt.explained(done.stderr)
    assert told is not None
    assert (
        "Packages that are in the way would be removed from the host: containerd docker.io runc."
        == told[0]
    )
    assert "Remove them there if nobody needs them" in told[1]


def test_they_are_where_that_is_meant(machine: Machine) -> None:
    """A driver in place of another."""
    assert 0 == machine.installs("jq", DYNO_APT_REMOVE="true").returncode
    assert all("APT::Get::Remove=true" in line for line in machine.asked)


def test_what_may_come_along_does_if_there_is_such(machine: Machine) -> None:
    """What the archives have not is told, and nothing is asked where nothing remains."""
    done = machine.installs("jq", DYNO_APT_ALSO="there gone")
    assert machine.asked[-1].endswith("install -- jq there")
    assert "dyno: there is no package gone; going on without it" in done.stdout
    (machine.folder / "asked").unlink()
    assert 0 == machine.installs(DYNO_APT_ALSO="gone").returncode
    assert ["update"] == [line.split()[-1] for line in machine.asked]
