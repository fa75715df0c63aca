"""The scripts that make arrays and put them together: on files, with a stand-in for mdadm."""

from __future__ import annotations

import subprocess
import threading
from pathlib import Path

import pytest

from provisioning.operations import disks

FOLDER = Path(disks.__file__).parent
#: Stands for the one that looks closely: a disk is blank as long as nothing is in it.
BLANK = 'why_not_blank() { [ ! -s "$1" ] || echo "holds something"; }\n'
#: Makes disks members, unless somebody does so at the same moment; slow enough to be raced.
MDADM = """#!/bin/sh
echo "$*" >>"$LOG"
[ "$1" = --assemble ] && exit
shift 6
sleep 0.3
for disk; do echo member >"$disk"; done
"""


@pytest.fixture
def bench(tmp_path: Path) -> Path:
    """Two blank disks, and programs in ``bin``."""
    (tmp_path / "bin").mkdir()
    for name, text in (("mdadm", MDADM), ("lsblk", '#!/bin/sh\ncat "$LSBLK"\n')):
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    for name in ("a", "b", "lsblk", "log"):
        (tmp_path / name).touch()
    return tmp_path


def run(bench: Path, script: str) -> subprocess.CompletedProcess[str]:
    env = {
        "PATH": f"{bench}/bin:/usr/bin:/bin:/usr/sbin:/sbin",
        "LOG": f"{bench}/log",
        "LSBLK": f"{bench}/lsblk",
    }
    argv = ["sh", "-c", disks._LOCKED, "sh", script, "/dev/md0", f"{bench}/a", f"{bench}/b"]
    return subprocess.run(argv, env=env, text=True, capture_output=True, check=False)


def create(bench: Path) -> subprocess.CompletedProcess[str]:
    return run(bench, BLANK + (FOLDER / "disk_array.sh").read_text())


def calls(bench: Path) -> list[str]:
    return [line.split()[0] for line in (bench / "log").read_text().splitlines()]


def test_blank_disks_are_joined(bench: Path) -> None:
    """Once; those that are not blank any more are left."""
    assert 0 == create(bench).returncode
    again = create(bench)
    assert (65, ["--create"]) == (again.returncode, calls(bench))
    assert again.stdout.startswith(f"refused: The disk {bench}/a holds something; no disk was")


def test_two_at_the_same_moment_make_one_array(bench: Path) -> None:
    """Both find the disks blank; the second is refused while the first is at work, or after it."""
    ends: list[int] = []
    racers = [threading.Thread(target=lambda: ends.append(create(bench).returncode)) for _ in "12"]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert ([0, 65], ["--create"]) == (sorted(ends), calls(bench))


@pytest.mark.parametrize("disk", ["a", "b"])
def test_a_disk_that_somebody_works_on_is_not_joined(bench: Path, disk: str) -> None:
    """Who formats it holds the same lock; both are free afterwards."""
    holder = subprocess.Popen(
        ["flock", bench / disk, "sh", "-c", "echo held; read x"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        refused = create(bench)
    assert (65, []) == (refused.returncode, calls(bench))
    assert "Somebody is working on one of the disks" in refused.stdout
    assert 0 == create(bench).returncode


def test_a_disk_that_is_gone_is_not_made_a_file(bench: Path) -> None:
    """Which a lock on it would do."""
    (bench / "b").unlink()
    refused = create(bench)
    assert (65, False) == (refused.returncode, (bench / "b").exists())
    assert f"There is no {bench}/b any more" in refused.stdout


def test_an_array_is_put_together_unless_it_is(bench: Path) -> None:
    """By udev, or by another: then there is nothing left to do."""
    assemble = (FOLDER / "disk_assemble.sh").read_text()
    (bench / "lsblk").write_text("/dev/nvme1n1\n")
    assert (0, ["--assemble"]) == (run(bench, assemble).returncode, calls(bench))
    (bench / "lsblk").write_text("/dev/nvme1n1\n/dev/md127\n")
    assert (0, ["--assemble"]) == (run(bench, assemble).returncode, calls(bench))


def test_what_mdadm_ends_with_is_told(bench: Path) -> None:
    """Whatever it was."""
    (bench / "bin" / "mdadm").write_text("#!/bin/sh\necho mdadm: no >&2; exit 2\n")
    failed = create(bench)
    assert (2, "mdadm: no\n") == (failed.returncode, failed.stderr)
