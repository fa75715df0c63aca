"""What happens while apt and dpkg are at work: others wait, two take turns, dying harms nothing."""

from __future__ import annotations

import re

import pytest

from tests.lab.host import LabHost
from tests.lab_tests.apt_held import (
    ASKED,
    MANY,
    PACKAGES,
    Holding,
    Stopped,
    audit,
    installed,
    until,
)
from tests.lab_tests.stacks import LabStack

pytestmark = [pytest.mark.integration, pytest.mark.lab]

#: The real one, held still as soon as it has its lock.
UPGRADES = """
setsid unattended-upgrade >/dev/null 2>&1 & p=$!
held() { lslocks -rno PID,PATH | grep -q "^ *$p .*unattended-upgrades.lock"; }
until held; do kill -0 $p || exit; done
kill -STOP $p && echo $p"""


@pytest.mark.parametrize("moment", ["APT::Update::Pre-Invoke", "DPkg::Post-Invoke"])
def test_killed_at_any_moment_the_next_run_completes(
    bare: LabHost, stack: LabStack, moment: str
) -> None:
    """What goes on without it is waited for; nothing is missing then, and no lock is left."""
    bare.docker_exec("rm -rf /var/cache/llm-dyno")
    with Stopped(bare, moment) as apt:
        process = stack.start("provision", *MANY)
        apt.reached()
        process.kill()
        process.communicate()
    assert -9 == process.returncode
    done = stack.fab("provision", *MANY)
    assert 0 == done.code, done.said
    assert re.search(r"T(ook away|aking over) the lock of .*: its `fab`, .* is gone\.", done.err)
    assert "lock" not in bare.docker_exec(f"ls {bare.workdir}").split()
    assert 5 == len(installed(bare, "ed", "bc", "dc", "sl", "tree"))
    assert "nothing to change" in stack.fab("provision", *MANY).out


def test_a_reboot_in_the_middle_frees_the_lock(bare: LabHost, stack: LabStack) -> None:
    """The next run repairs what dpkg was doing, and completes."""
    with Stopped(bare, "DPkg::Pre-Invoke") as apt:
        process = stack.start("provision", *MANY)
        apt.reached()
        bare.reboot()
        process.communicate(timeout=60)
    assert 4 == process.returncode
    done = stack.fab("provision", *MANY)
    assert 0 == done.code, done.said
    assert "the host was started anew since" in done.err
    assert "nothing to change" in stack.fab("provision", *MANY).out


def test_an_interrupted_dpkg_is_repaired(bare: LabHost, stack: LabStack) -> None:
    """A package that was unpacked and not configured keeps apt from doing anything else."""
    bare.docker_exec(
        "cd /tmp && apt-get -qq update && apt-get -qq download sl"
        " && dpkg --unpack sl_*.deb >/dev/null"
    )
    done = stack.fab("provision", *ASKED)
    assert 0 == done.code, done.said
    assert "packages: repairing an installation that was interrupted" in done.err
    assert ["sl", *PACKAGES] == installed(bare, "sl", *PACKAGES)


def test_of_two_at_once_one_works(bare: LabHost, stack: LabStack) -> None:
    """The other sees a sign of life, and is told who is at work; it harms nothing."""
    with Holding(bare):
        first = stack.start("provision", *ASKED)
        until(first, "waiting for")
        second = stack.fab("provision", *ASKED)
        assert (5, True) == (second.code, f"{bare.name} is in use by" in second.err), second.said
        assert "waiting for a sign of life" in second.err
    rest, _ = first.communicate(timeout=60)
    assert (0, True) == (first.returncode, "changed packages" in rest), rest


def test_two_that_start_together_do_it_once(bare: LabHost, stack: LabStack) -> None:
    """Whichever is first; the other finds it done, or is told who is at work."""
    before = len(audit(bare))
    both = [stack.start("provision", *ASKED) for _ in range(2)]
    said = [process.communicate(timeout=120)[0] for process in both]
    codes = sorted(process.returncode for process in both)
    assert codes in ([0, 0], [0, 5]), said
    done = [line for line in audit(bare)[before:] if "install ed, tree" in line]
    assert 1 == len(done), said
    assert list(PACKAGES) == installed(bare, *PACKAGES)
    assert "lock" not in bare.docker_exec(f"ls {bare.workdir}").split()
    assert "nothing to change" in stack.fab("provision", *ASKED).out


def test_apt_of_somebody_else_is_waited_for(bare: LabHost, stack: LabStack) -> None:
    """A real one, in the middle of its work: it ends, and then we begin."""
    with Stopped(bare, "DPkg::Pre-Invoke") as apt:
        bare.docker_exec("apt-get -qq update; setsid apt-get -qqy install sl >/dev/null 2>&1 &")
        apt.reached()
        process = stack.start("provision", *ASKED)
        said = until(process, "waiting for")
    rest, _ = process.communicate(timeout=60)
    assert "packages: waiting for apt-get (process " in said
    assert (0, True) == (process.returncode, "changed packages" in rest), rest
    assert ["sl", *PACKAGES] == installed(bare, "sl", *PACKAGES)


def test_unattended_upgrades_are_waited_for(bare: LabHost, stack: LabStack) -> None:
    """The real ones, which hold a lock of their own before apt's."""
    bare.docker_exec("apt-get -qq update; apt-get -qqy install unattended-upgrades >/dev/null 2>&1")
    upgrades = bare.docker_exec(UPGRADES)
    try:
        process = stack.start("provision", *ASKED)
        said = until(process, "waiting for")
    finally:
        bare.docker_exec(f"kill -CONT {upgrades}")
    rest, _ = process.communicate(timeout=120)
    assert f"packages: waiting for unattended-upgr (process {upgrades})" in said
    assert (0, True) == (process.returncode, "changed packages" in rest), rest
    assert list(PACKAGES) == installed(bare, *PACKAGES)
