"""`fab provision` interrupted while any of its operations runs: the next one completes.

The moments are told by what the host writes down: after so many operations, or so many lines of
dpkg's. A run of the tests takes a few of them, one after the other on one host. With
``LLM_DYNO_EVERY_MOMENT=FILE``, each operation gets a fresh host, and FILE a table of what came of
it (half an hour).
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.lab.host import LabHost
from tests.lab.lab import Lab
from tests.lab_tests import whole
from tests.lab_tests.moments import Written, written
from tests.lab_tests.stacks import LabStack
from tests.provisioning.hub import Hub

pytestmark = [pytest.mark.integration, pytest.mark.lab]

TABLE = os.environ.get("LLM_DYNO_EVERY_MOMENT", "")
#: Operations and lines of dpkg's in a complete run, at the least.
OPERATIONS, DPKG = 44, 100
EVERY_DPKG = 10
OVER_S = 120


def _power(host: LabHost) -> None:
    host.kill()
    host.start()


WAYS: dict[str, Callable[[LabHost], None]] = {
    "cut": LabHost.cut,
    "reboot": LabHost.reboot,
    "power": _power,
}


@dataclass(frozen=True)
class Moment:
    """When so many operations were over and dpkg had written so many lines, and what happens."""

    operations: int
    dpkg: int
    way: str

    def __str__(self) -> str:
        lines = f", {self.dpkg} lines of dpkg's" if self.dpkg else ""
        return f"{self.operations} operations{lines}: {self.way}"


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    with whole.hub() as found:
        found.rate = 8e6  # the download lasts for some seconds
        yield found


def interrupt(host: LabHost, stack: LabStack, asked: list[str], moment: Moment) -> Written:
    """Start `fab provision`, and end it (or what it needs) at *moment*."""
    with written(host) as seen:
        run = stack.start("provision", *asked)
        met = seen.wait(run, moment.operations, moment.dpkg)
        if met and moment.way == "kill":
            run.kill()
        elif met:
            WAYS[moment.way](host)
        said, _ = run.communicate(timeout=OVER_S)
    assert met, f"over before {moment}: {said}"
    assert "Traceback" not in said, said
    if moment.way == "kill":
        assert -9 == run.returncode
    elif moment.way != "cut":  # a download outlives a cut
        assert 0 < run.returncode, said
    return seen


def completed(host: LabHost, stack: LabStack, asked: list[str]) -> None:
    """The next run does the rest; another finds nothing; no lock is there."""
    done = stack.fab("provision", *asked)
    assert 0 == done.code, done.said
    third = stack.fab("provision", *asked)
    assert (0, True) == (third.code, "nothing to change" in third.out), third.said
    left = host.docker_exec(f"ls -A {host.workdir}").split()
    assert [] == [name for name in left if name.startswith("lock")]
    assert (
        "GPU-" in host.ssh("docker run --rm --gpus all $(docker image ls -q) nvidia-smi -L").stdout
    )


def some(seed: int) -> list[Moment]:
    """A few, each later than the one before, one of them within the work of dpkg."""
    draw = random.Random(seed)
    ways = draw.sample(["kill", "kill", "cut", "power"], 4)
    step = OPERATIONS // len(ways)
    numbers = [at * step + draw.randrange(step) for at in range(len(ways))]
    moments = [Moment(n, 0, way) for n, way in zip(numbers, ways, strict=True)]
    return sorted([*moments, Moment(0, draw.randrange(40, 2 * DPKG // 3), "reboot")], key=late)


def late(moment: Moment) -> float:
    """Roughly when it is: dpkg works in the second half of the operations."""
    return moment.operations or OPERATIONS * (0.6 + 0.4 * moment.dpkg / DPKG)


def test_a_run_interrupted_again_and_again_completes(lab: Lab, hub: Hub, tmp_path: Path) -> None:
    """By kill -9, a cut connection, a restart and a power cut, each later than the one before."""
    host = whole.host(lab)
    try:
        with whole.stack(tmp_path, host) as stack:
            asked = whole.asked(lab, hub)
            for moment in some(seed=5):
                interrupt(host, stack, asked, moment)
            completed(host, stack, asked)
    finally:
        lab.remove(host)


@pytest.mark.skipif(not TABLE, reason="by hand: set LLM_DYNO_EVERY_MOMENT to a file")
def test_interrupted_at_any_operation_the_next_run_completes(
    lab: Lab, hub: Hub, tmp_path: Path
) -> None:
    """Each on a host of its own; the table says what came of it."""
    ways = ("cut", "reboot", "power")
    moments = [Moment(n, 0, "kill") for n in range(OPERATIONS)]
    moments += [Moment(n, 0, ways[n // 4 % 3]) for n in range(0, OPERATIONS, 4)]
    moments += [
        Moment(0, n, ("power", "reboot", "kill")[n // EVERY_DPKG % 3])
        for n in range(1, DPKG, EVERY_DPKG)
    ]
    with ThreadPoolExecutor(2) as pool:
        rows = list(pool.map(lambda moment: _tried(lab, hub, tmp_path, moment), moments))
    assert [] == [row for row in rows if "completed" not in row]


def _tried(lab: Lab, hub: Hub, folder: Path, moment: Moment) -> str:
    """One row of the table."""
    own = folder / f"{moment.operations}-{moment.dpkg}-{moment.way}"
    own.mkdir()
    begun, last, outcome = time.monotonic(), "", "completed"
    host = whole.host(lab)
    try:
        with whole.stack(own, host) as stack:
            asked = whole.asked(lab, hub)
            seen = interrupt(host, stack, asked, moment)
            last = seen.operations[-1].partition(" ")[2] if seen.operations else ""
            completed(host, stack, asked)
    except Exception as error:  # noqa: BLE001 - it stands in the table
        outcome = f"FAILED: {error}"
    finally:
        lab.remove(host)
    row = f"| {moment} | {last[:90]} | {time.monotonic() - begun:.0f} s | {outcome} |"
    with Path(TABLE).open("a", encoding="utf-8") as file:
        file.write(f"{row}\n")
    return row
