"""The kernel's arrival time of TCP data (SO_TIMESTAMPNS, CLOCK_REALTIME, nanoseconds)."""

from __future__ import annotations

import socket
import struct

#: SO_TIMESTAMPNS; the socket module does not name it.
SO_TIMESTAMPNS = 35
#: Room for one ancillary message with a timespec.
ANCILLARY = socket.CMSG_SPACE(16)
_TIMESPEC = struct.Struct("qq")
_BILLION = 1_000_000_000


def ask_for(sock: socket.socket) -> None:
    """Have *sock* stamp what it receives; where that cannot be had, nothing happens."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    except OSError:
        return  # reads then come without a stamp, and say so


def decode(raw: bytes) -> int:
    """Nanoseconds since the epoch from a ``struct timespec``."""
    seconds, nanoseconds = _TIMESPEC.unpack_from(raw)
    return int(seconds) * _BILLION + int(nanoseconds)


def decode_all(raw: list[bytes]) -> list[int]:
    """`decode`, of many at once.

    Raises:
        TypeError: one of them is no such struct.
    """
    numbers = memoryview(b"".join(raw)).cast("q").tolist()
    return [s * _BILLION + n for s, n in zip(numbers[::2], numbers[1::2], strict=True)]
