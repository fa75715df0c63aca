"""Docker on the host: who answers, with what."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

from provisioning.command import Command, Fact

# Root is asked only when the user is not heard: `sudo` costs more than the question.
# A snap's server takes the same socket, whether or not the program is on our PATH.
_ASK = r"""
if program=$(command -v docker); then :
elif [ -e /snap/bin/docker ]; then program=/snap/bin/docker PATH=$PATH:/snap/bin
else exit 127; fi
ask() {
  said=$("$@" docker info --format '{{json .}}' 2>&1) || return
  case $said in *'"ServerVersion":"'[!\"]*) ;; *) return 1 ;; esac
}
if ask; then access=user
elif [ "$(id -u)" != 0 ] && ask sudo -n; then access=root
else access=none; fi
printf '%s %s\n%s\n' "$access" "$program" "$said"
"""
_SNAP, _SNAP_DATA = "/snap/", "/var/snap/"


@dataclass(frozen=True)
class Daemon:
    """Docker's server. `access`: it answers this user, root alone, or ``none`` (`trouble`: why).

    `kind`: a ``snap``, ``rootless``, or (empty) one that is installed and run as usual. `root` is
    where it keeps images, unless `containerd_store`: then containerd keeps them.
    """

    access: Literal["user", "root", "none"]
    trouble: str = ""
    version: str = ""
    root: str = ""
    storage: str = ""
    containerd_store: bool = False
    runtimes: tuple[str, ...] = ()
    default_runtime: str = ""
    insecure_registries: tuple[str, ...] = ()
    images: int = 0
    containers: int = 0
    running: int = 0
    live_restore: bool = False
    kind: Literal["", "snap", "rootless"] = ""


class Docker(Fact[Daemon | None]):
    """Docker's server; None when there is no ``docker`` command."""

    command = Command.shell(_ASK, shown="docker info")
    when_missing = None

    def parse(self, stdout: str) -> Daemon | None:
        """Read who is answered, by which program; then what ``docker info`` printed."""
        head, *lines = stdout.splitlines()
        access, _, program = head.partition(" ")
        info = next((line for line in lines if line.startswith("{")), "{}")
        if access not in {"user", "root"}:
            trouble = [line for line in lines if line.strip() and not line.startswith("{")]
            said = trouble[0].strip() if trouble else _server_error(info)
            return Daemon("none", said, kind="snap" if program.startswith(_SNAP) else "")
        return _daemon("user" if access == "user" else "root", json.loads(info))


def _daemon(access: Literal["user", "root"], info: dict[str, Any]) -> Daemon:
    registries = info.get("RegistryConfig") or {}
    known = registries.get("IndexConfigs") or {}
    insecure = {name for name, config in known.items() if not config.get("Secure")}
    driver = {str(line[0]): line[1] for line in info.get("DriverStatus") or []}
    return Daemon(
        access=access,
        version=info["ServerVersion"],
        root=info["DockerRootDir"],
        storage=info["Driver"],
        containerd_store=driver.get("driver-type", "").startswith("io.containerd"),
        runtimes=tuple(sorted(info.get("Runtimes") or {})),
        default_runtime=info.get("DefaultRuntime", ""),
        insecure_registries=tuple(
            sorted(insecure | set(registries.get("InsecureRegistryCIDRs") or []))
        ),
        images=info["Images"],
        containers=info["Containers"],
        running=info["ContainersRunning"],
        live_restore=info.get("LiveRestoreEnabled", False),
        kind=_kind(info),
    )


def _kind(info: dict[str, Any]) -> Literal["", "snap", "rootless"]:
    """Of the server itself: the program may belong to another one."""
    if any("name=rootless" in option for option in info.get("SecurityOptions") or []):
        return "rootless"
    return "snap" if info["DockerRootDir"].startswith(_SNAP_DATA) else ""


def _server_error(info: str) -> str:
    errors = json.loads(info).get("ServerErrors") or ["it does not answer"]
    return str(errors[0])
