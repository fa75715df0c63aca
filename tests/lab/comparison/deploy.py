"""What host.yaml asks for, as a deploy of pyinfra's; run by pyinfra, in its own environment."""

from pathlib import Path

from pyinfra import host
from pyinfra.operations import apt, files, server, systemd

FILES = Path(__file__).parent / "files"
UNITS = ("docker.service", "containerd.service", "user@.service")
PACKAGES = ["bc", "lsof", "numactl", "pciutils", "psmisc", "tree"]
SETTINGS = {"vm.swappiness": 10, "net.core.somaxconn": 8192}


def put(name: str, path: str):  # noqa: ANN201 - pyinfra's own kind
    """A file of ours, root's, for everybody to read."""
    return files.put(
        name=f"Write {path}",
        src=str(FILES / name),
        dest=path,
        user="root",
        group="root",
        mode="644",
        _sudo=True,
    )


def folder(path: str) -> None:
    """A folder of root's."""
    files.directory(name=f"Make {path}", path=path, user="root", group="root", _sudo=True)


for key, value in SETTINGS.items():
    server.sysctl(name=f"Set {key}", key=key, value=value, _sudo=True)
put("sysctl.conf", "/etc/sysctl.d/99-zz-llm-dyno.conf")
put("limits.conf", "/etc/security/limits.d/90-llm-dyno.conf")
changes = []
for unit in UNITS:
    folder(f"/etc/systemd/system/{unit}.d")
    changes.append(put("unit-limits.conf", f"/etc/systemd/system/{unit}.d/llm-dyno-limits.conf"))
systemd.daemon_reload(
    name="Read units again",
    _if=lambda: any(change.did_change() for change in changes),
    _sudo=True,
)
folder("/etc/docker")
put("daemon.json", "/etc/docker/daemon.json")
apt.packages(
    name="Install packages, and Docker",
    packages=[*PACKAGES, "docker.io", "ca-certificates"],
    update=True,
    cache_time=86400,
    no_recommends=True,
    _sudo=True,
)
systemd.service(name="Run Docker", service="docker.service", running=True, enabled=True, _sudo=True)
server.user(name="Open Docker to the user", user="dyno", groups=["docker"], append=True, _sudo=True)
if host.data.get("tree"):
    files.sync(
        name="Copy the tree",
        src=host.data.get("tree"),
        dest=host.data.get("place"),
        user="root",
        group="root",
        mode="644",
        dir_mode="755",
        delete=False,
        _sudo=True,
    )
    systemd.service(
        name="Run containerd",
        service="containerd.service",
        running=True,
        enabled=True,
        _sudo=True,
    )
