"""The whole way on one host: bare, fit, nothing to do, drifted, measured; and what overlaps."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.lab.host import LabHost
from tests.lab.lab import Lab
from tests.lab_tests import whole
from tests.lab_tests.stacks import LabStack
from tests.provisioning.hub import Hub

pytestmark = [pytest.mark.integration, pytest.mark.lab]

PATIENCE_S = 240
SLOWLY = 1e5  # bytes a second: such a download ends only when it is let go
LOOK = "docker run --rm --gpus all"
LIMITS = "/etc/security/limits.d/90-llm-dyno.conf"
SETTINGS = "/etc/docker/daemon.json"


@dataclass(frozen=True)
class Ran:
    """How a command with ``--json`` ended: lines of progress, and the document at its end."""

    code: int
    progress: list[tuple[str, str]]
    told: dict[str, Any]

    def first(self, step: str) -> int:
        """The number of the first line that *step* said."""
        return next(at for at, (name, _) in enumerate(self.progress) if name == step)

    def over(self, step: str) -> int:
        """The number of the line that says that *step* is done."""
        lines = enumerate(self.progress)
        return next(at for at, (n, text) in lines if n == step and text.startswith("done in"))


@pytest.fixture(scope="module")
def host(lab: Lab) -> Iterator[LabHost]:
    found = whole.host(lab)
    yield found
    lab.remove(found)


@pytest.fixture(scope="module")
def stack(host: LabHost, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabStack]:
    with whole.stack(tmp_path_factory.mktemp("stack"), host) as found:
        yield found


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    with whole.hub() as found:
        yield found


def run(stack: LabStack, *argv: str, on: Callable[[str, str], None]) -> Ran:
    """Run `fab` to its end; *on* hears each step, and what it says."""
    with stack.start(*argv, "--json") as process:
        watchdog = threading.Timer(PATIENCE_S, process.kill)
        watchdog.start()
        try:
            return _read(process, on)
        finally:
            watchdog.cancel()


def _read(process: subprocess.Popen[str], on: Callable[[str, str], None]) -> Ran:
    progress, rest = [], ""
    assert process.stdout is not None
    for line in process.stdout:
        said = json.loads(line) if line.startswith('{"') else {}
        if "progress" in said:
            progress.append((said["step"], said["progress"]))
            on(*progress[-1])
        else:
            rest += line
    assert 0 == process.wait(), (progress, rest)
    return Ran(process.returncode, progress, json.loads(rest))


def steps(report: dict[str, Any]) -> dict[str, float]:
    """What each step of a report took."""
    return {step["name"]: step["seconds"] for step in report["steps"]}


@pytest.fixture(scope="module")
def first(host: LabHost, stack: LabStack, lab: Lab, hub: Hub) -> Ran:
    """The first run; its download is slow until the image is there."""

    def let_go(step: str, text: str) -> None:
        if step == "images" and text.startswith("done in"):
            hub.rate = None

    hub.rate = SLOWLY
    return run(stack, "provision", *whole.asked(lab, hub), on=let_go)


def test_a_bare_host_ends_with_a_container_that_sees_its_gpu(
    host: LabHost, stack: LabStack, lab: Lab, hub: Hub, first: Ran
) -> None:
    """Told so; seen by any container; and a second run has nothing to change."""
    assert ("gpu-proof", "a container sees 1 GPUs") in first.progress
    seen = host.ssh(f"{LOOK} {lab.image} nvidia-smi -L").stdout
    assert 1 == seen.count("UUID: GPU-")
    second = stack.fab("provision", *whole.asked(lab, hub))
    assert (0, True) == (second.code, "nothing to change" in second.out), second.said


def test_what_does_not_depend_on_each_other_overlaps(first: Ran) -> None:
    """The model comes beside packages, Docker and image: the whole takes the longest path."""
    (report,) = first.told["hosts"]
    took = steps(report)
    assert {"packages", "docker", "toolkit", "images", "model"} <= {s for s in took if took[s]}
    assert first.first("model") < first.over("docker")
    assert first.over("images") < first.over("model")
    assert report["seconds"] < 0.8 * sum(took.values())
    assert report["seconds"] - report["longest_path_s"] < 0.25 * sum(took.values())


def test_what_drifted_in_any_way_is_found_and_repaired(
    host: LabHost, stack: LabStack, lab: Lab, hub: Hub, first: Ran
) -> None:
    """A service stopped, a file edited, a package removed, a mode changed: those, nothing else."""
    del first
    host.docker_exec(
        "apt-get -qq purge -y tree >/dev/null 2>&1; systemctl disable --now docker.socket"
        f" docker.service; chmod 600 {LIMITS}; sed -i 's/\"registry.lab:5000\"//' {SETTINGS}"
    )
    done = stack.fab("provision", "--json", *whole.asked(lab, hub))
    assert 0 == done.code, done.said
    (report,) = json.loads(done.out)["hosts"]
    changed = [command for step in report["steps"] for command in step["commands"]]
    for repair in ("install tree", "start docker.service", f"chmod 644 {LIMITS}", SETTINGS):
        assert [] != [command for command in changed if repair in command], repair
    assert {"packages", "system", "docker", "gpu-proof"} == set(report["changed"])
    third = stack.fab("provision", *whole.asked(lab, hub))
    assert (0, True) == (third.code, "nothing to change" in third.out), third.said


#: Until the load client was measured on the host, believed or not.
CALIBRATION = "pgrep -f '[ ]calibrate ' >/dev/null"
CALIBRATED = (
    f"timeout {PATIENCE_S} sh -c "
    f'"until {CALIBRATION}; do sleep 0.02; done; while {CALIBRATION}; do sleep 0.1; done"'
)


def test_a_bench_calibrates_while_image_and_model_come(
    host: LabHost, stack: LabStack, lab: Lab, hub: Hub, first: Ran
) -> None:
    """Beside them, once the packages are there; the manifest tells how long each took."""
    del first
    host.docker_exec("docker image rm -f $(docker image ls -q); apt-get -qq purge -y tree")

    def let_go() -> None:
        host.docker_exec(CALIBRATED, check=False)
        hub.rate = None

    hub.rate = SLOWLY
    waiting = threading.Thread(target=let_go)
    waiting.start()
    few = ("--set", 'load.points=[{"max_concurrency": 2, "num_prompts": 4}]')
    try:
        done = stack.fab("bench", "--json", *whole.asked(lab, hub, whole.MODELS[1]), *few)
    finally:
        waiting.join()
    assert 0 == done.code, done.said
    (found,) = Path(stack.env["LLM_DYNO_RESULTS"]).rglob("manifest.json")
    report = json.loads(found.read_text())["context"]["provision"]
    took = steps(report)
    assert {"packages", "images", "model", "calibration"} <= {s for s in took if took[s]}
    assert took["packages"] + took["calibration"] < took["model"]
    assert report["seconds"] < 0.8 * sum(took.values())
