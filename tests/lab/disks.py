"""Blank disks of lab hosts: sparse files behind loop devices of this machine."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.lab.machine import HOME

FOLDER = HOME / "disks"


def make(host: str, count: int, size: str) -> list[str]:
    """*count* loop devices for *host*, each of *size*."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    return [_loop(FOLDER / f"{host}.{number}.img", size) for number in range(1, count + 1)]


def _loop(path: Path, size: str) -> str:
    subprocess.run(["truncate", "-s", size, path], check=True)
    argv = ["losetup", "--find", "--show", str(path)]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()


def remove(host: str) -> None:
    """The disks of *host* are gone, with what was on them."""
    for path in FOLDER.glob(f"{host}.*.img"):
        for device in _devices(path):
            subprocess.run(["losetup", "--detach", device], check=False, capture_output=True)
        path.unlink()


def _devices(path: Path) -> list[str]:
    argv = ["losetup", "--associated", str(path)]
    text = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    return [line.partition(":")[0] for line in text.splitlines()]
