"""The lab's GPUs: a stand-in of nvidia-smi below the real toolkit."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest

from tests.lab.host import LabHost
from tests.lab.lab import Lab

pytestmark = [pytest.mark.integration, pytest.mark.lab]

_COMPOSE = """\
services:
  look:
    image: {image}
    command: nvidia-smi -L
    deploy: {{resources: {{reservations: {{devices: [{{capabilities: [gpu], count: all}}]}}}}}}
"""


def _use_archive(host: LabHost, lab: Lab) -> None:
    """Let *host* install the lab's own packages, their signature checked."""
    host.docker_exec("mkdir -p /etc/apt/keyrings")
    host.write("/etc/apt/keyrings/lab.asc", lab.archive_key)
    source = f"deb [signed-by=/etc/apt/keyrings/lab.asc] {lab.archive_url} lab main\n"
    host.write("/etc/apt/sources.list.d/lab.list", source)
    host.docker_exec(
        "apt-get update -qq -o Dir::Etc::sourcelist=/etc/apt/sources.list.d/lab.list "
        "-o Dir::Etc::sourceparts=-"
    )


def _install(host: LabHost, *names: str) -> None:
    host.docker_exec(f"DEBIAN_FRONTEND=noninteractive apt-get install -y -qq {' '.join(names)}")


@pytest.fixture(scope="module")
def host(lab: Lab) -> Iterator[LabHost]:
    """One with a GPU, Docker and the toolkit, configured by hand."""
    made = lab.host(gpu="rtx-pro-6000x1", docker=True)
    _use_archive(made, lab)
    _install(made, "nvidia-container-toolkit", "docker-compose-plugin")
    made.write("/etc/docker/daemon.json", f'{{"insecure-registries": ["{lab.registry}"]}}')
    made.docker_exec("nvidia-ctk runtime configure --runtime=docker && systemctl restart docker")
    made.docker_exec(f"docker pull -q {lab.image}")
    yield made
    lab.remove(made)


def _gpus(listed: str) -> list[str]:
    return re.findall(r"^GPU \d+: .* \(UUID: (GPU-\S+)\)$", listed, re.MULTILINE)


@pytest.mark.parametrize("way", ["--gpus all", "--runtime nvidia --gpus all", "--gpus device=0"])
def test_a_container_sees_the_gpu(host: LabHost, lab: Lab, way: str) -> None:
    """The one that the host sees, whichever way it is asked for."""
    seen = _gpus(host.docker_exec(f"docker run --rm {way} {lab.image} nvidia-smi -L"))

    assert len(seen) == 1
    assert seen == _gpus(host.docker_exec("nvidia-smi -L"))


def test_a_container_without_gpus_sees_none(host: LabHost, lab: Lab) -> None:
    """There is no nvidia-smi in it."""
    said = host.docker_exec(f"docker run --rm {lab.image} nvidia-smi -L 2>&1", check=False)

    assert "executable file not found" in said


def test_more_gpus_than_there_are_is_an_error(host: LabHost, lab: Lab) -> None:
    """As the toolkit's library says it."""
    said = host.docker_exec(f"docker run --rm --gpus 2 {lab.image} true 2>&1", check=False)

    assert "unknown device" in said


def test_compose_reserves_the_gpu(host: LabHost, lab: Lab) -> None:
    """By a device reservation, through the plug-in."""
    host.docker_exec("mkdir -p /srv/stack")
    host.write("/srv/stack/compose.yaml", _COMPOSE.format(image=lab.image))
    said = host.docker_exec("cd /srv/stack && docker compose up 2>&1; docker compose down -t 0")

    assert "look-1  | GPU 0: NVIDIA RTX PRO 6000" in said


def test_a_container_can_ask_for_limits_that_the_machine_has_not(host: LabHost, lab: Lab) -> None:
    """It starts, and what it asked for is noted."""
    host.docker_exec(f"docker run --rm --ulimit memlock=-1 {lab.image} true")

    assert "RLIMIT_MEMLOCK" in host.docker_exec("cat /var/log/lab-rlimits")


def test_a_slice_is_seen_by_its_own_uuid(host: LabHost, lab: Lab) -> None:
    """Made by root, given to a container alone; forgotten at a reset."""
    host.docker_exec("nvidia-smi -mig 1 && nvidia-smi mig -cgi 2g.48gb,1g.24gb -C")
    slices = re.findall(r"MIG (\S+) .*UUID: (MIG-\S+)\)", host.docker_exec("nvidia-smi -L"))
    assert [profile for profile, _ in slices] == ["2g.48gb", "1g.24gb"]
    uuid = slices[1][1]
    way = f"--gpus device={uuid}"
    seen = host.docker_exec(f"docker run --rm {way} {lab.image} nvidia-smi -L")
    full = host.docker_exec("nvidia-smi mig -cgi 4g.96gb", check=False)
    host.docker_exec("nvidia-smi mig -dci && nvidia-smi mig -dgi && nvidia-smi -r")

    assert re.findall(r"MIG-[^)]+", seen) == [uuid]
    assert "Insufficient Resources" in full
    assert "MIG" not in host.docker_exec("nvidia-smi -L")


def test_error_correction_changes_at_a_restart(host: LabHost) -> None:
    """It is pending until then; persistence mode is forgotten by then."""
    fields = "ecc.mode.current,ecc.mode.pending,persistence_mode"
    modes = f"nvidia-smi --format=csv,noheader --query-gpu={fields}"
    host.docker_exec("nvidia-smi -pm 1 && nvidia-smi -e 0")
    before = host.docker_exec(modes)
    host.reboot()

    assert before == "Enabled, Disabled, Enabled"
    assert host.docker_exec(modes) == "Disabled, Disabled, Disabled"


def test_only_root_sets_modes(host: LabHost) -> None:
    """Anybody else is refused, with the code of the real one."""
    refused = host.ssh("nvidia-smi -pm 1", check=False)

    assert refused.returncode == 4
    assert "Insufficient Permissions" in refused.stdout


def test_a_driver_comes_as_a_package(lab: Lab, lab_host: Callable[..., LabHost]) -> None:
    """Without one the GPU is on the bus alone; a newer one under a loaded one needs a reboot."""
    host = lab_host(gpu="l40s-x8", driver="none")
    asked = "nvidia-smi --query-gpu=driver_version --format=csv,noheader -i 0"
    bus = host.ssh("cat /sys/bus/pci/devices/*/vendor").stdout.split()
    nothing = host.ssh(asked, check=False)
    _use_archive(host, lab)
    _install(host, "nvidia-driver-standin=535.247.01-1")
    old = host.ssh(asked).stdout.strip()
    _install(host, "nvidia-driver-standin")
    torn = host.ssh(asked, check=False)
    host.reboot()

    assert bus == ["0x10de"] * 8
    assert nothing.returncode == 127
    assert old == "535.247.01"
    assert torn.returncode == 18
    assert "version mismatch" in torn.stdout
    assert host.ssh(asked).stdout.strip() == "580.95.05"


def test_forced_slices_and_unknown_memory(lab_hosts: Callable[..., list[LabHost]]) -> None:
    """A virtual GPU's slicing cannot be switched off; a GB10 does not tell its memory."""
    host = lab_hosts(1, gpu="rtx-pro-6000-mig")[0]
    slices = re.findall(r"MIG (\S+)", host.ssh("nvidia-smi -L").stdout)
    off = host.ssh("sudo nvidia-smi -mig 0", check=False)

    assert [name for name in slices if "gb" in name] == ["4g.96gb", "4g.96gb"]
    assert off.returncode == 4
