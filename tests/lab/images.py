"""The images that lab hosts start from: built once, named by a hash of what goes into them."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Callable

from tests.lab import packages
from tests.lab.engine import docker
from tests.lab.machine import HOME, LabError, alone
from tests.lab.options import USER

Say = Callable[[str], None]

NAME = "llm-dyno-lab"
BUILD_S = 420.0
#: What a cloud's image has, more or less, and jq for the lab's runc.
BASE = [
    *("systemd", "systemd-sysv", "dbus", "dbus-user-session", "libpam-systemd"),
    *("openssh-server", "sudo", "python3", "ca-certificates", "iproute2", "procps"),
    *("fdisk", "kmod", "curl", "jq"),
]
DOCKER = ["docker.io", "iptables"]
_TIDY = r"""
set -e
cd "$1"
rm -f etc/machine-id var/lib/dbus/machine-id etc/ssh/ssh_host_* etc/resolv.conf
: > etc/machine-id
rm -f etc/apt/sources.list etc/apt/sources.list.d/*
for unit in apt-daily.timer apt-daily-upgrade.timer console-getty.service getty@tty1.service \
    systemd-udevd.service systemd-firstboot.service dev-hugepages.mount sys-kernel-debug.mount; do
  ln -sf /dev/null etc/systemd/system/$unit
done
if ls "$2"/*.crt >/dev/null 2>&1; then
  cp "$2"/*.crt usr/local/share/ca-certificates/
  chroot . update-ca-certificates >/dev/null
fi
chroot . useradd --create-home --shell /bin/bash @USER@
rm -rf var/lib/apt/lists/* var/cache/apt/* usr/share/doc/* usr/share/man/*
""".replace("@USER@", USER)


def _tag(kind: str, *parts: str) -> str:
    digest = hashlib.sha256("\0".join((packages.codename(), *parts)).encode()).hexdigest()
    return f"{NAME}:{kind}-{digest[:12]}"


def _there(tag: str) -> bool:
    return bool(docker("images", "-q", tag))


def base(say: Say) -> str:
    """The tag of the bare host's image; built when it is not there (half a minute)."""
    authorities = (path.read_text() for path in packages.authorities())
    tag = _tag("base", *BASE, _TIDY, *authorities)
    with alone("build-base"):
        if not _there(tag):
            say(f"building the image of a bare host ({packages.codename()}, half a minute)")
            _debootstrap(tag)
    return tag


def _debootstrap(tag: str) -> None:
    script = HOME / "tidy"
    script.write_text(_TIDY)
    archive = HOME / "base.tar"
    argv = ["mmdebstrap", "--variant=minbase", f"--include={','.join(BASE)}", "--mode=root"]
    argv += [f"--aptopt={line}" for line in packages.settings().splitlines()]
    argv += ["--dpkgopt=force-unsafe-io"]
    argv += [f'--customize-hook=sh {script} "$1" {packages.AUTHORITIES}']
    argv += [packages.codename(), str(archive), "-"]
    _run(argv, data=packages.sources())
    docker("import", str(archive), tag)
    archive.unlink()


def _run(argv: list[str], data: str) -> None:
    try:
        done = subprocess.run(
            argv, input=data, capture_output=True, text=True, timeout=BUILD_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise LabError(f"{argv[0]} took longer than {BUILD_S:g} s") from None
    if done.returncode:
        raise LabError(f"{argv[0]}: {' '.join(done.stderr.split()[-60:])}")


def remove() -> None:
    """All images of the lab are gone."""
    for tag in docker("images", "--format", "{{.Repository}}:{{.Tag}}", NAME).split():
        docker("rmi", tag, check=False)


def with_docker(say: Say) -> str:
    """The tag of the image of a host that has the distribution's Docker already."""
    start = base(say)
    tag = _tag("docker", start, *DOCKER)
    with alone("build-docker"):
        if not _there(tag):
            say("building the image of a host with Docker (a quarter of a minute)")
            _install(start, tag)
    return tag


def _install(start: str, tag: str) -> None:
    script = (
        "set -e; cat > /etc/apt/sources.list; export DEBIAN_FRONTEND=noninteractive; "
        "printf '#!/bin/sh\\nexit 101\\n' > /usr/sbin/policy-rc.d; chmod +x /usr/sbin/policy-rc.d; "
        f"echo '{packages.settings()}' > /etc/apt/apt.conf.d/99lab; apt-get update -qq; "
        f"apt-get install -qq -y --no-install-recommends {' '.join(DOCKER)} >/dev/null; "
        "rm -rf /etc/apt/sources.list /etc/apt/apt.conf.d/99lab /usr/sbin/policy-rc.d "
        "/var/lib/apt/lists/* /var/cache/apt/*; "
        "rm -f /etc/ssh/ssh_host_*; : > /etc/machine-id; rm -f /var/lib/dbus/machine-id"
    )
    name = f"{NAME}-build"
    docker("rm", "-fv", name, check=False)
    try:
        docker(
            *("run", "-i", "--name", name, start, "sh", "-c", script),
            data=packages.sources().encode(),
            timeout_s=BUILD_S,
        )
        docker("commit", name, tag)
    finally:
        docker("rm", "-fv", name, check=False)
