"""`python -m tests.lab up | down | status`: lab hosts to play with."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from tests.lab import archive, engine, images, machine, network, registry, start
from tests.lab.machine import LabError
from tests.lab.options import Options

_BEGAN = time.monotonic()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.lab", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="start hosts")
    up.add_argument("--hosts", type=int, default=1, metavar="N")
    up.add_argument("--prefix", default="lab", help="of the hosts' names")
    up.add_argument("--with", dest="with_", choices=["docker"], action="append", default=[])
    up.add_argument("--gpu", default="", metavar="NAME", help="a file of tests/lab/gpus")
    up.add_argument("--driver", default="", metavar="VERSION", help="the GPU's; or `none`")
    up.add_argument("--disks", type=int, default=0, metavar="N", help="blank /dev/nvme1n1 …")
    up.add_argument("--disk-size", default="2G", metavar="SIZE")
    up.add_argument("--small", action="append", default=[], metavar="FOLDER=SIZE")
    up.add_argument("--no-sudo", action="store_true")
    up.add_argument("--no-python", action="store_true")
    up.add_argument("--no-egress", action="store_true")
    up.add_argument("--os-release", default="", metavar="FILE", help="in place of the real one")
    up.add_argument("--json", action="store_true", help="print all of it")
    up.add_argument("--preset", action="store_true", help="print the preset of a stack of it")
    up.add_argument("--install", action="store_true", help="the packages that the lab needs, first")
    commands.add_parser("prepare", help="images, package archive and registry, for hosts to come")
    down = commands.add_parser("down", help="remove hosts")
    down.add_argument("--prefix", default="lab")
    down.add_argument("--all", action="store_true", help="all, the lab's services and dockerd too")
    down.add_argument("--forget", action="store_true", help="with --all: what was built, too")
    commands.add_parser("status", help="what is there")
    return parser


def _options(args: argparse.Namespace) -> Options:
    release = open(args.os_release).read() if args.os_release else ""  # noqa: PTH123, SIM115 # once
    return Options(
        sudo=not args.no_sudo,
        python=not args.no_python,
        egress=not args.no_egress,
        docker="docker" in args.with_,
        disks=args.disks,
        disk_size=args.disk_size,
        small=dict(item.split("=", 1) for item in args.small),
        release=release,
        gpu=args.gpu,
        driver=args.driver,
    )


def _say(line: str) -> None:
    print(f"{time.monotonic() - _BEGAN:5.1f} s  {line}", file=sys.stderr, flush=True)


def _ready() -> None:
    reason = machine.why_not()
    if reason:
        raise LabError(reason)
    engine.ensure()


def _prepare(_: argparse.Namespace) -> None:
    _ready()
    parts = (images.with_docker, archive.ensure, registry.reference)
    with ThreadPoolExecutor(len(parts)) as pool:
        running = [pool.submit(part, _say) for part in parts]
        image = [one.result() for one in running][-1]
    _say("ready")
    print(f"packages: deb [trusted=yes] {archive.url()} ./\nimage:    {image}")


def _up(args: argparse.Namespace) -> None:
    if args.install:
        machine.install()
    _ready()
    made = start.start(args.prefix, args.hosts, _options(args), _say)
    _say(f"up: {' '.join(host.name for host in made)}")
    if args.json:
        print(json.dumps([host.as_json() for host in made], indent=2))
        return
    for host in made:
        if args.preset:
            print(host.preset(), end="")
            continue
        print(f"{host.name}  {host.address}  {host.note()}")


def _down(args: argparse.Namespace) -> None:
    if not engine.answers():
        engine.stop()
        return
    with machine.alone():
        start.remove(start.hosts(None if args.all else args.prefix))
        start.remove_leftovers()
        if args.all and args.forget:
            images.remove()
            shutil.rmtree(machine.HOME / "archive", ignore_errors=True)
            shutil.rmtree(machine.HOME / "builds", ignore_errors=True)
            shutil.rmtree(machine.HOME / "registry", ignore_errors=True)
    if args.all:
        engine.stop()


def _status(_: argparse.Namespace) -> None:
    reason = machine.why_not() or ("" if engine.answers() else "no Docker daemon answers")
    if reason:
        print(reason)
        return
    for label in network.labels():
        address, port = (label[f"{start.LABEL}.{name}"] for name in ("address", "port"))
        print(f"{label['name']}  {address}  port {port}")


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: 0, or 1 with a line that says why."""
    args = _parser().parse_args(argv)
    try:
        {"up": _up, "prepare": _prepare, "down": _down, "status": _status}[args.command](args)
    except LabError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
