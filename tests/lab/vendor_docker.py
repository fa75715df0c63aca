"""Docker under its maker's package names: the distribution's programs, packed anew.

The two sets of packages exclude each other, as in life, so one cannot just depend on the other.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.lab.deb import Deb
from tests.lab.machine import HOME, LabError

#: Where the distribution's packages lie while they are packed anew.
FOLDER = HOME / "builds" / "docker"
#: The engine's, newest last, and that of containerd.
VERSIONS = ("5:28.5.2-1~lab", "5:29.0.2-1~lab")
CONTAINERD_VERSION = "1.7.28-1~lab"
_SOURCES = ("docker.io", "containerd", "runc")
_LEFT_OUT = ("/usr/share/", "/etc/init.d", "/etc/default", "/usr/bin/dnet", "/usr/sbin/ovrouter")
_CONFIGURATION = "/etc/containerd/config.toml"
_START = """\
#!/bin/sh
set -e
getent group docker >/dev/null || groupadd --system docker
[ -d /run/systemd/system ] || exit 0
systemctl daemon-reload
systemctl -q enable {units}
if [ -n "$2" ]; then deb-systemd-invoke restart {units} || :
else deb-systemd-invoke start {units} || :; fi
"""
_STOP = """\
#!/bin/sh
[ "$1" != remove ] || [ ! -d /run/systemd/system ] || deb-systemd-invoke stop {units} || :
"""


def debs() -> list[Deb]:
    """docker-ce, its command, its containerd and its plug-in for builds (which is empty).

    Raises:
        LabError: the distribution's packages cannot be had.
    """
    files = _files(_fetch())
    command = {place: path for place, path in files.items() if place == "/usr/bin/docker"}
    runtime = {
        p: path for p, path in files.items() if "containerd" in p or p.endswith(("runc", "ctr"))
    }
    engine = {p: path for p, path in files.items() if p not in command and p not in runtime}
    return [
        _containerd(runtime),
        Deb("docker-buildx-plugin", "0.30.1-1~lab"),
        *(_engine(version, engine) for version in VERSIONS),
        *(_command(version, command) for version in VERSIONS),
    ]


def _containerd(files: dict[str, Path | str]) -> Deb:
    others = "containerd, runc"
    fields = {"Conflicts": others, "Replaces": others, "Provides": others}
    return Deb(
        "containerd.io",
        CONTAINERD_VERSION,
        "libc6, libseccomp2",
        files,
        _START.format(units="containerd.service"),
        _STOP.format(units="containerd.service"),
        fields,
    )


def _engine(version: str, files: dict[str, Path | str]) -> Deb:
    units = "docker.service docker.socket"
    return Deb(
        "docker-ce",
        version,
        "containerd.io, docker-ce-cli, iptables, libdevmapper1.02.1, libsystemd0, tini",
        files,
        _START.format(units=units),
        _STOP.format(units=units),
        {"Conflicts": "docker.io", "Replaces": "docker.io"},
        links={"/usr/bin/docker-init": "tini"},
    )


def _command(version: str, files: dict[str, Path | str]) -> Deb:
    return Deb("docker-ce-cli", version, "libc6", files, fields={"Conflicts": "docker.io"})


def _fetch() -> Path:
    """The distribution's packages, unpacked into one folder."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    argv = ["apt-get", "-o", "APT::Sandbox::User=root", "download", *_SOURCES]
    done = subprocess.run(argv, cwd=FOLDER, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LabError(f"Docker's packages cannot be had: {done.stderr.strip()[-200:]}")
    for path in FOLDER.glob("*.deb"):
        subprocess.run(["dpkg-deb", "-x", str(path), str(FOLDER / "tree")], check=True)
    return FOLDER / "tree"


def _files(tree: Path) -> dict[str, Path | str]:
    paths = (path for path in sorted(tree.rglob("*")) if path.is_file() and not path.is_symlink())
    places = {f"/{path.relative_to(tree)}": path for path in paths}
    return {place: path for place, path in places.items() if not place.startswith(_LEFT_OUT)}
