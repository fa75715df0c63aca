"""A stand-in nvidia-smi, and a wait."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

#: Driver 580, one H100 of eight, with ``--format=csv,noheader,nounits``.
LINE = (
    "2026/09/14 10:21:07.412, {index}, GPU-5d0c5f2e-1111-2222-3333-44445555666{index}, "
    "NVIDIA H100 80GB HBM3, {power}, 1755, 2619, 54, 71312, 97, 0x0000000000000004"
)
#: A vGPU, which tells next to nothing.
POOR = (
    "2026/09/14 10:21:07.412, 0, GPU-5d0c5f2e-1111-2222-3333-444455556660, "
    "NVIDIA H100L-2-24C, [N/A], [N/A], [N/A], [N/A], 24576, [Unknown Error], [N/A]"
)
ECC = "ECC error: GPU 00000000:1B:00.0 had 1 uncorrectable volatile ECC error"
UNKNOWN = 'Field "clocks_event_reasons.active" is not a valid field to query.'

Smi = Callable[[str], Path]


@pytest.fixture
def smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Smi:
    """Put a shell script in nvidia-smi's place; a file to which it adds its pid at each start."""

    def install(script: str) -> Path:
        folder = tmp_path / "bin"
        folder.mkdir()
        pids = tmp_path / "pids"
        program = folder / "nvidia-smi"
        program.write_text(f'#!/bin/sh\necho $$ "$@" >> {pids}\n{script}\n')
        program.chmod(0o700)
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
        return pids

    return install


def sets(*powers: float, count: int = 1) -> str:
    """A script that prints a line of each of *count* GPUs for each power, 20 ms apart."""
    script = ""
    for power in powers:
        script += "".join(f"echo '{LINE.format(index=i, power=power)}'\n" for i in range(count))
        script += "sleep 0.02\n"
    return script


def eventually(condition: Callable[[], object], seconds: float = 10.0) -> bool:
    """Whether it came true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True
