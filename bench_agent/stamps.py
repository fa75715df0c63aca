"""The kernel's arrival time of TCP data (SO_TIMESTAMPNS, CLOCK_REALTIME, nanoseconds)."""

from __future__ import annotations

import socket
import struct
from array import array

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
    return joined(*_TIMESPEC.unpack_from(raw))


def joined(seconds: int, nanoseconds: int) -> int:
    """Both parts of a timespec as nanoseconds."""
    return seconds * _BILLION + nanoseconds


def parted(at_ns: int) -> tuple[int, int]:
    """Nanoseconds as the two parts of a timespec."""
    return divmod(at_ns, _BILLION)


def all_joined(parts: array[int]) -> list[int]:
    """`joined`, of many timespecs one behind the other."""
    pairs = zip(parts[::2].tolist(), parts[1::2].tolist(), strict=True)
    return [seconds * _BILLION + nanoseconds for seconds, nanoseconds in pairs]
