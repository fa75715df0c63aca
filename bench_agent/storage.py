"""Files that are whole or not there."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from bench_agent.protocol import RequestRecord

_BLOCK = 1024 * 1024


def write(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Put *data* at *path*: a temporary file, then a rename.

    Raises:
        OSError: the disk is full, or the folder is not there.
    """
    write_pieces(path, (data,), durable=durable)


def write_pieces(path: Path, pieces: Iterable[bytes], *, durable: bool = True) -> None:
    """The same of what is too large to be held at once.

    Raises:
        OSError: the disk is full, or the folder is not there.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("wb") as file:
            file.writelines(pieces)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)  # on a full disk, others need the room
        raise
    if durable:
        sync_folder(path.parent)


def write_json(path: Path, value: Any, *, durable: bool = True) -> None:
    """Put *value* at *path* as JSON, for people too."""
    write(path, json.dumps(value, indent=1).encode() + b"\n", durable=durable)


def sync_folder(path: Path) -> None:
    """Make what was renamed in this folder survive a power cut."""
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def read_json(path: Path) -> Any:
    """The value at *path*; None when there is none that can be read."""
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None


def append(path: Path, line: bytes) -> None:
    """Add one line.

    Raises:
        OSError: the disk is full.
    """
    with path.open("ab", buffering=0) as file:
        if file.write(line) != len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def sha256(path: Path) -> str:
    """The checksum of a file, and its bytes safe on the disk."""
    total = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            total.update(block)
        os.fsync(file.fileno())
    return total.hexdigest()


def whole_lines(path: Path) -> int:
    """How many bytes of the file are whole lines."""
    size = path.stat().st_size
    with path.open("rb") as file:
        at = size
        while at > 0:
            start = max(0, at - _BLOCK)
            file.seek(start)
            found = file.read(at - start).rfind(b"\n")
            if found >= 0:
                return start + found + 1
            at = start
    return 0


def drop_torn_line(path: Path) -> None:
    """Cut off a last line that was not finished."""
    whole = whole_lines(path)
    if whole < path.stat().st_size:
        os.truncate(path, whole)


def read_records(path: Path) -> Iterator[RequestRecord]:
    """The records in the file; none when there is no file.

    Lines that a full disk or a crash tore are left out.
    """
    return (record for _, record in locate_records(path))


def locate_records(path: Path) -> Iterator[tuple[int, RequestRecord]]:
    """The same, each with the place in the file where it begins."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    at = 0
    with file:
        for line in file:
            record = _record(line)
            if record is not None:
                yield at, record
            at += len(line)


def text_at(file: BinaryIO, at: int) -> str:
    """The reply in the record that begins there; empty where it was not kept."""
    file.seek(at)
    record = _record(file.readline())
    return (record.text if record else None) or ""


def _record(line: bytes) -> RequestRecord | None:
    if not line.endswith(b"\n"):
        return None
    try:
        data = json.loads(line)
    except ValueError:
        return None
    if not isinstance(data, dict):
        return None
    data["chunk_ns"] = tuple(data["chunk_ns"])
    return RequestRecord(**data)
