"""Stands in for mdadm on lab hosts, whose kernel has no arrays.

It writes and reads real version 1.2 superblocks, and opens disks as exclusively; the array itself
is the disk at /dev/lab-md, shown by lsblk below its members. As after a boot without udev, the
array is gone after a restart until it is put together again.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any, NoReturn

SPARE = "/dev/lab-md"
STATE = Path("/run/lab-mdadm.json")
MAGIC = 0xA92B4EFC
AT = 4096


def fail(what: str) -> NoReturn:
    sys.stderr.write(f"mdadm: {what}\n")
    sys.exit(1)


def superblock(array: bytes, name: str, disks: int, number: int) -> bytes:
    """One as mdadm 4.2 writes it, its checksum included."""
    head = struct.pack("<IIII16s32s", MAGIC, 1, 0, 0, array, name.encode())
    shape = struct.pack("<QiIQII", 0, 0, 0, 0, 1024, disks) + bytes(32)
    place = struct.pack("<QQQQI", 2048, 0, AT // 512, 0, number) + bytes(4) + os.urandom(16)
    rest = bytes(8) + struct.pack("<QQQ", 0, 1, 2**64 - 1)
    roles = b"".join(struct.pack("<H", role) for role in range(disks)).ljust(256, b"\xff")
    body = bytearray(head + shape + place + rest + struct.pack("<II", 0, 128) + bytes(32) + roles)
    total = sum(struct.unpack(f"<{len(body) // 4}I", body))
    struct.pack_into("<I", body, 216, ((total & 0xFFFFFFFF) + (total >> 32)) & 0xFFFFFFFF)
    return bytes(body)


def opened(disk: str, flags: int) -> int:
    try:
        return os.open(disk, flags | os.O_EXCL)
    except OSError as error:
        fail(f"cannot open {disk}: {error.strerror}")


def member(disk: str) -> tuple[str, int]:
    """The array that *disk* belongs to, and how many disks it has."""
    fd = opened(disk, os.O_RDONLY)
    block = os.pread(fd, 256, AT)
    os.close(fd)
    if struct.unpack_from("<I", block)[0] != MAGIC:
        fail(f"no superblock found on {disk}, {disk} has no superblock - assembly aborted")
    return block[16:32].hex(), struct.unpack_from("<I", block, 92)[0]


def create(array: str, disks: list[str]) -> None:
    identity = uuid.uuid4().bytes
    name = f"{socket.gethostname()}:{array.removeprefix('/dev/md')}"
    for number, disk in enumerate(disks):
        fd = opened(disk, os.O_RDWR)
        os.pwrite(fd, superblock(identity, name, len(disks), number), AT)
        os.fsync(fd)
        os.close(fd)
    start(array, disks, identity.hex())


def assemble(array: str, disks: list[str]) -> None:
    said = [member(disk) for disk in disks]
    if len(set(said)) > 1:
        fail(f"superblock on {disks[-1]} doesn't match others - assembly aborted")
    identity, count = said[0]
    if count != len(disks):
        fail(f"{array} assembled from {len(disks)} drives - not enough to start the array.")
    start(array, disks, identity)


def start(array: str, disks: list[str], identity: str) -> None:
    if Path(array).exists():
        fail(f"{array} exists already")
    subprocess.run(["cp", "-a", SPARE, array], check=True)
    number = Path(array).stat().st_rdev
    own = f"{os.major(number)}:{os.minor(number)}"
    name = array.removeprefix("/dev/")
    real = Path(f"/sys/devices/virtual/block/loop{os.minor(number)}")
    Path(f"/sys/block/{name}").symlink_to(real)
    Path(f"/sys/dev/block/{own}").symlink_to(f"../../block/{name}")
    for disk in disks:
        folder = holders(disk)
        subprocess.run(["mount", "-t", "tmpfs", "lab", str(folder)], check=True)
        (folder / name).symlink_to(real)
    STATE.write_text(json.dumps({"array": array, "uuid": identity, "disks": disks}))
    sys.stderr.write(f"mdadm: array {array} started.\n")


def holders(disk: str) -> Path:
    return Path(f"/sys/block/{disk.removeprefix('/dev/')}").resolve() / "holders"


def running(array: str) -> Any:
    known = json.loads(STATE.read_text()) if STATE.exists() else {}
    if known.get("array") != array:
        fail(f"cannot open {array}: No such file or directory")
    return known


def stop(array: str, _: list[str]) -> None:
    for disk in running(array)["disks"]:
        subprocess.run(["umount", str(holders(disk))], check=True)
    for path in (STATE, Path(array), Path(f"/sys/block/{array.removeprefix('/dev/')}")):
        path.unlink()


def detail(array: str, _: list[str]) -> None:
    known = running(array)
    name = f"{socket.gethostname()}:{array.removeprefix('/dev/md')}"
    text = known["uuid"]
    parts = ":".join(text[at : at + 8] for at in range(0, 32, 8))
    sys.stdout.write(f"ARRAY {array} metadata=1.2 name={name} UUID={parts}\n")


def main(argv: list[str]) -> None:
    array, *disks = [word for word in argv if not word.startswith("-")]
    does = {"--create": create, "--assemble": assemble, "--stop": stop}.get(argv[0], detail)
    does(array, disks)


if __name__ == "__main__":
    main(sys.argv[1:])
