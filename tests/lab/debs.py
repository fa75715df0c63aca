"""The Debian packages of the lab's own archive, which stand for those of the vendors."""

from __future__ import annotations

from pathlib import Path

from tests.lab import gpu, vendor_docker
from tests.lab.builds import COMPOSE_VERSION, HOOK, TOOLKIT, TOOLKIT_VERSION
from tests.lab.deb import Deb
from tests.lab.machine import FILES

#: Versions of the stand-in driver that can be installed.
DRIVERS = ("535.247.01", "570.172.08", "580.95.05")
_OLDER_TOOLKIT = "1.19.1"
_CONFIG = """\
#!/bin/sh
set -e
if [ ! -e /etc/nvidia-container-runtime/config.toml ]; then
  mkdir -p /etc/nvidia-container-runtime
  nvidia-ctk --quiet config --config-file=/etc/nvidia-container-runtime/config.toml --in-place
  # the lab has no library of the driver for the other modes to ask
  nvidia-ctk config --config-file=/etc/nvidia-container-runtime/config.toml --in-place \\
    --set nvidia-container-runtime.mode=legacy
fi
"""
_LOAD = """\
#!/bin/sh
python3 -m compileall -q /usr/share/lab-gpu/smi
nvidia-smi -L >/dev/null 2>&1 || :
"""
_UNLOAD = "#!/bin/sh\nrm -rf /usr/share/lab-gpu/smi/__pycache__\n"


def packages(toolkit: Path, compose: Path) -> list[Deb]:
    """All packages of the archive."""
    return [
        *_toolkit(toolkit, _OLDER_TOOLKIT),
        *_toolkit(toolkit, TOOLKIT_VERSION),
        *(_driver(version) for version in DRIVERS),
        *vendor_docker.debs(),
        Deb(
            "docker-compose-plugin",
            f"{COMPOSE_VERSION}-1~lab",
            files={"/usr/libexec/docker/cli-plugins/docker-compose": compose},
        ),
    ]


def _toolkit(folder: Path, version: str) -> list[Deb]:
    """As the vendor splits it."""
    programs: dict[str, dict[str, Path | str]] = {"hook": {}, "base": {}}
    for name in TOOLKIT:
        part = "hook" if name == HOOK else "base"
        programs[part][f"/usr/bin/{name}"] = folder / name
    full = f"{version}-1"
    return [
        Deb("libnvidia-container1", full),
        Deb(
            "libnvidia-container-tools",
            full,
            f"libnvidia-container1 (= {full})",
            {"/usr/bin/nvidia-container-cli": FILES / "nvidia-container-cli"},
        ),
        Deb("nvidia-container-toolkit-base", full, "", programs["base"], _CONFIG),
        Deb(
            "nvidia-container-toolkit",
            full,
            f"nvidia-container-toolkit-base (= {full}), libnvidia-container-tools (= {full})",
            programs["hook"],
        ),
    ]


def _driver(version: str) -> Deb:
    files: dict[str, Path | str] = {
        f"/usr/share/lab-gpu/smi/{path.name}": path for path in sorted(gpu.SMI.glob("*.py"))
    }
    files |= {"/usr/bin/nvidia-smi": gpu.SMI / "nvidia-smi"}
    files |= {"/usr/share/lab-gpu/driver": f"{version}\n"}
    return Deb("nvidia-driver-standin", f"{version}-1", "python3", files, _LOAD, _UNLOAD)
