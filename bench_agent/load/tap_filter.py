"""Which segments a tap sees: a program of classic BPF (linux/filter.h) that the kernel runs."""

from __future__ import annotations

import socket
import struct
from array import array
from collections.abc import Sequence

#: The length that is kept of a segment tells what the filter saw in it. Up to TCP's flags it takes
#: 34 bytes; a segment without options or payload, which can only be an ending, has 40.
PLAIN, ENDING = 36, 40

_SO_ATTACH_FILTER = 26
#: The last four bytes of a chunked reply, and of ``data: [DONE]`` in one that is not chunked.
_ENDS = (0x0D0A0D0A, 0x455D0A0A)
_WORD, _HALF, _BYTE, _WORD_AT_X = 0x20, 0x28, 0x30, 0x40
_EQUAL, _AT_LEAST, _ABOVE, _ANY_BIT = 0x15, 0x35, 0x25, 0x45
_AND, _SHIFT, _MINUS, _MINUS_X, _TO_X, _KEEP = 0x54, 0x74, 0x14, 0x1C, 0x07, 0x06

#: A step of a filter: code, value, where to if it holds, where to if not (None: to the next).
#: A text in place of the code names the place of the step behind it.
Step = tuple[int | str, int, str | None, str | None]


def attach(
    sock: socket.socket, endpoints: Sequence[tuple[str, int]], ports: tuple[int, int]
) -> None:
    """Let *sock* see what comes from *endpoints* to local *ports* (first and last) with payload,
    or begins or ends a connection.

    Raises:
        OSError: the kernel does not take it.
    """  # noqa: D205 - one thought
    code = array("B", assembled(steps(endpoints, ports)))
    address, length = code.buffer_info()
    program = struct.pack("HP", length // 8, address)
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)


def steps(endpoints: Sequence[tuple[str, int]], ports: tuple[int, int]) -> list[Step]:
    """The filter; what it looks at begins with the IP header."""
    found: list[Step] = [
        (_BYTE, 0, None, None),
        (_EQUAL, 0x45, None, "drop"),  # IPv4 without options
        (_BYTE, 9, None, None),
        (_EQUAL, socket.IPPROTO_TCP, None, "drop"),
        (_HALF, 6, None, None),
        (_ANY_BIT, 0x3FFF, "drop", None),  # a fragment
        (_HALF, 22, None, None),
        (_AT_LEAST, ports[0], None, "drop"),
        (_ABOVE, ports[1], "drop", None),
    ]
    for number, (address, port) in enumerate(endpoints):
        other = f"endpoint {number + 1}" if number + 1 < len(endpoints) else "drop"
        found += [
            (f"endpoint {number}", 0, None, None),
            (_WORD, 12, None, None),
            (_EQUAL, struct.unpack(">I", socket.inet_aton(address))[0], None, other),
            (_HALF, 20, None, None),
            (_EQUAL, port, "wanted", other),
        ]
    return [
        *found,
        ("wanted", 0, None, None),
        (_BYTE, 33, None, None),
        (_ANY_BIT, 0x07, "ending", None),  # FIN, SYN or RST
        (_BYTE, 32, None, None),
        (_AND, 0xF0, None, None),
        (_SHIFT, 2, None, None),
        (_TO_X, 0, None, None),  # the length of TCP's header
        (_HALF, 2, None, None),
        (_MINUS, 20, None, None),
        (_MINUS_X, 0, None, None),
        (_EQUAL, 0, "drop", None),  # a mere acknowledgement
        (_HALF, 2, None, None),
        (_MINUS, 4, None, None),
        (_TO_X, 0, None, None),
        (_WORD_AT_X, 0, None, None),
        *((_EQUAL, end, "ending", None) for end in _ENDS),
        (_KEEP, PLAIN, None, None),
        ("ending", 0, None, None),
        (_KEEP, ENDING, None, None),
        ("drop", 0, None, None),
        (_KEEP, 0, None, None),
    ]


def assembled(program: Sequence[Step]) -> bytes:
    """Names to distances; a ``struct sock_filter`` for each step."""
    places: dict[str, int] = {}
    code: list[tuple[int, int, str | None, str | None]] = []
    for what, value, if_so, if_not in program:
        if isinstance(what, str):
            places[what] = len(code)
        else:
            code.append((what, value, if_so, if_not))
    packed = bytearray()
    for at, (number, value, if_so, if_not) in enumerate(code):
        jumps = [places[name] - at - 1 if name else 0 for name in (if_so, if_not)]
        packed += struct.pack("HBBI", number, *jumps, value)
    return bytes(packed)
