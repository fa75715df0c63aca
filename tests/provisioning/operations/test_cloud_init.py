"""cloud-init is waited for, in a real shell, with stand-ins for it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from provisioning.facts import cloud_init as fact
from provisioning.operations.cloud_init import over
from tests.provisioning.fakes import FakeHost


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A folder in front of the machine's programs."""
    (tmp_path / "bin").mkdir()
    return tmp_path / "bin"


def program(path: Path, name: str, script: str) -> None:
    (path / name).write_text(f"#!/bin/sh\n{script}\n")
    (path / name).chmod(0o755)


def shell(path: Path, script: str, **env: str) -> str:
    """What a script prints; it ends well."""
    given = {"PATH": f"{path}:{os.environ['PATH']}", "HERE": str(path.parent)} | env
    done = subprocess.run(
        ["sh", "-c", script], env=given, capture_output=True, text=True, timeout=30, check=False
    )
    assert 0 == done.returncode, done.stderr
    return done.stdout


def test_its_end_is_waited_for_and_it_may_have_failed(path: Path) -> None:
    """Said so, by its own means; what it failed in is not ours."""
    program(path, "cloud-init", 'echo "$*" >>"$HERE/asked"; exit 2')
    (command,) = over(FakeHost(CloudInit=True))
    said = shell(path, command.argv[2])
    assert "dyno: waiting for cloud-init, which is still setting this machine up\n" == said
    assert "status --wait\n" == (path.parent / "asked").read_text()


def test_it_is_not_waited_for_for_ever(path: Path) -> None:
    """Told every ten seconds, and when we go on."""
    program(path, "timeout", '[ "$1 $2" = "10 cloud-init" ] && exit 124')
    (command,) = over(FakeHost(CloudInit=True))
    *waits, last = shell(path, command.argv[2], DYNO_CLOUD_INIT_TRIES="2").splitlines()
    assert 2 == len([line for line in waits if line.startswith("dyno: waiting for cloud-init")])
    assert "dyno: cloud-init does not come to its end; going on without it" == last


@pytest.mark.parametrize(
    ("files", "there", "expected"),
    [
        ((), True, False),
        (("status.json",), True, True),
        (("status.json",), False, False),
        (("status.json", "result.json"), True, False),
    ],
    ids=["not in this boot", "at work", "removed since", "over"],
)
def test_it_is_at_work_between_its_status_and_its_result(
    path: Path, files: tuple[str, ...], there: bool, expected: bool
) -> None:
    """By what it writes in each boot."""
    for name in files:
        (path.parent / name).touch()
    if there:
        program(path, "cloud-init", "exit 1")
    script = fact._ASK.replace("/run/cloud-init", str(path.parent))
    assert expected == fact.CloudInit().parse(shell(path, script))
