"""How a lab host comes to be, and how it goes."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.lab import archive, disks, gpu, images, network, packages, processes, registry
from tests.lab.engine import docker
from tests.lab.host import LabHost
from tests.lab.images import Say
from tests.lab.machine import FILES, HOME, LabError, alone, key
from tests.lab.options import USER, Options

LABEL = "llm-dyno.lab"
MOST = 10  # a host takes 8 of the machine's 128 inotify instances
PATIENCE_S = 300.0
_CAPABILITIES = ("SYS_ADMIN", "NET_ADMIN", "NET_RAW", "MKNOD", "SYS_PTRACE")
_FLAGS = (
    *("--cgroupns=private", "--tmpfs", "/run", "--tmpfs", "/run/lock"),
    *(part for name in _CAPABILITIES for part in ("--cap-add", name)),
    *("--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined"),
    *("-v", "/var/lib/docker", "--restart", "unless-stopped", "--stop-signal", "SIGRTMIN+3"),
    *("--add-host", f"registry.lab:{network.GATEWAY}"),
    *("--add-host", f"archive.lab:{network.GATEWAY}"),
)  # fmt: skip
_FIRST_START = """\
mkdir -p /etc/apt/sources.list.d
cp /lab/sources.list /etc/apt/sources.list
cp /lab/apt.conf /etc/apt/apt.conf.d/99lab
cat /lab/environment >>/etc/environment
install -m 755 /lab/runc-lab /usr/local/sbin/runc
"""
_SUDO = f"echo '{USER} ALL=(ALL) NOPASSWD:ALL' >/etc/sudoers.d/90-{USER}\n"
_NO_PYTHON = "rm -f /usr/bin/python3*\n"
_RELEASE = "rm -f /etc/os-release; cp /lab/os-release /etc/os-release\n"
_EACH_START = f"""\
install -d -o {USER} -g {USER} /home/{USER}
install -d -m 700 -o {USER} -g {USER} /home/{USER}/.ssh
install -m 600 -o {USER} -g {USER} /lab/authorized_keys /home/{USER}/.ssh/authorized_keys
"""
_NO_EGRESS = "ip route del default\n"
#: Settings of the machine's kernel that a host may change, for itself alone.
_SYSCTL = """\
for key in vm/swappiness vm/max_map_count vm/overcommit_memory vm/nr_hugepages \\
    vm/zone_reclaim_mode kernel/numa_balancing kernel/shmmax kernel/shmall kernel/pid_max \\
    fs/file-max fs/nr_open fs/inotify/max_user_instances fs/inotify/max_user_watches \\
    net/core/somaxconn net/core/rmem_max net/core/wmem_max \\
    net/core/netdev_max_backlog net/ipv4/tcp_rmem net/ipv4/tcp_wmem net/ipv4/tcp_tw_reuse \\
    net/ipv4/ip_local_port_range; do
  [ -e "/proc/sys/$key" ] || continue
  mkdir -p "/run/lab-sysctl/${key%/*}"
  cat "/proc/sys/$key" >"/run/lab-sysctl/$key" # not `read`: the kernel tells it in one go only
  mount --bind "/run/lab-sysctl/$key" "/proc/sys/$key"
done
for size in 2048kB 1048576kB; do
  d=/sys/kernel/mm/hugepages/hugepages-$size
  [ -e "$d/nr_hugepages" ] || continue
  echo 0 >"/run/lab-sysctl/nr_hugepages-$size"
  mount --bind "/run/lab-sysctl/nr_hugepages-$size" "$d/nr_hugepages"
done
sysctl -q --system >/dev/null 2>&1
"""


def start(prefix: str, count: int, options: Options, say: Say, *, owner: str = "") -> list[LabHost]:
    """*count* new hosts, up, named *prefix* and a number. They end with process *owner*, if given.

    Raises:
        LabError: there would be too many, or one does not come up.
    """
    image = images.with_docker(say) if options.docker else images.base(say)
    made = _when_there_is_room(count, lambda: _make(prefix, count, options, image, owner))
    try:
        with ThreadPoolExecutor(max(1, len(made))) as pool:
            list(pool.map(LabHost.wait, made))
    except BaseException:
        with alone():
            remove([host.name for host in made])
        raise
    return made


def _when_there_is_room(count: int, make: Callable[[], list[LabHost]]) -> list[LabHost]:
    """Others, with hosts of theirs, are waited for."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        with alone():
            remove_leftovers()
            there = len(network.labels())
            if there + count <= MOST:
                serve()
                return make()
        if time.monotonic() > deadline or count > MOST:
            raise LabError(f"there are {there} lab hosts already, and {MOST} is the most")
        time.sleep(0.5)


def _make(prefix: str, count: int, options: Options, image: str, owner: str) -> list[LabHost]:
    made: list[LabHost] = []
    for _ in range(count):
        labels = network.labels()
        names = {label["name"] for label in labels}
        name = next(n for i in range(1, MOST + 2) if (n := f"{prefix}{i}") not in names)
        place = network.place(labels)
        own = [f"{LABEL}={prefix}", f"{LABEL}.owner={owner}"]
        made.append(_run(name, place, own, options, image))
    return made


def _run(
    name: str, place: tuple[str, int], labels: list[str], options: Options, image: str
) -> LabHost:
    address, port = place
    folder = _describe(name, options)
    devices = disks.make(name, options.disks, options.disk_size) if options.disks else []
    argv = ["run", "-d", "--name", name, "--hostname", name, *_FLAGS]
    argv += ["--network", network.NAME, "--ip", address, "-p", f"127.0.0.1:{port}:22"]
    for label in (*labels, f"{LABEL}.address={address}", f"{LABEL}.port={port}"):
        argv += ["--label", label]
    for number, device in enumerate(devices, 1):
        argv += ["--device", f"{device}:/dev/nvme{number}n1"]
    for path, size in options.small.items():
        argv += ["--tmpfs", f"{path}:exec,size={size},mode=755"]
    try:
        docker(*argv, "-v", f"{folder}:/lab", image, "sh", "/lab/lab-init")
    except LabError:
        docker("rm", "-fv", name, check=False)
        _forget(name)
        raise
    return LabHost(name, port, address, options)


def _describe(name: str, options: Options) -> Path:
    """The folder that the host sees as /lab while it starts."""
    folder = HOME / "hosts" / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for file in ("lab-init", "runc-lab"):
        shutil.copy(FILES / file, folder)
    texts = {
        "sources.list": packages.sources(),
        "apt.conf": packages.settings(),
        "environment": packages.environment(),
        "authorized_keys": key().with_suffix(".pub").read_text(),
        "first-start": _FIRST_START
        + _SUDO * options.sudo
        + _NO_PYTHON * (not options.python)
        + _RELEASE * bool(options.release),
        "each-start": _EACH_START + _SYSCTL + _NO_EGRESS * (not options.egress),
    }
    if options.release:
        texts["os-release"] = options.release
    if options.gpu:
        shutil.copytree(gpu.SMI, folder / "smi", ignore=shutil.ignore_patterns("__pycache__"))
        texts |= gpu.describe(options.gpu, options.driver)
        texts["first-start"] += gpu.DRIVER * ("driver" in texts)
        texts["each-start"] += gpu.EACH_START
    for file, text in texts.items():
        (folder / file).write_text(text)
    return folder


def remove(names: list[str]) -> None:
    """Those hosts are gone, with their volumes and disks; the network with the last one."""
    if names:
        docker("rm", "-fv", *names, check=False)
    for name in names:
        _forget(name)
    if not network.labels():
        for server in (archive.SERVER, registry.SERVER):
            processes.stop(server)
        network.remove()


def serve() -> None:
    """The network is there, and on it the archive and the registry, if they were made."""
    network.ensure()
    archive.serve()
    registry.serve()


def _forget(name: str) -> None:
    disks.remove(name)
    shutil.rmtree(HOME / "hosts" / name, ignore_errors=True)


def remove_leftovers() -> None:
    """Hosts whose owner is gone, and what is left of hosts that are gone."""
    labels = network.labels()
    owned = [label for label in labels if label.get(f"{LABEL}.owner")]
    dead = [label["name"] for label in owned if not processes.alive(label[f"{LABEL}.owner"])]
    if dead:
        remove(dead)
    there = {label["name"] for label in labels} - set(dead)
    folders = {path.name for path in (HOME / "hosts").glob("*")}
    images_ = {path.name.split(".")[0] for path in disks.FOLDER.glob("*.img")}
    for name in (folders | images_) - there:
        _forget(name)


def hosts(prefix: str | None = None) -> list[str]:
    """The names of the lab hosts there are, of *prefix* alone if given."""
    return sorted(label["name"] for label in network.labels() if prefix in (None, label[LABEL]))


def me() -> str:
    """This process, as an owner of hosts."""
    return processes.identity(os.getpid())
