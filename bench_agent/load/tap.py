"""Every TCP segment that servers send us, with the kernel's time of its arrival.

A read of a socket tells when the newest of its bytes came, so each token would have to be read by
itself, and the acknowledgement that goes with a read is most of what a token costs. A packet
socket with a ring in shared memory (packet(7), PACKET_RX_RING) tells the times without any system
call; the bytes can then be read later, many tokens at once.

Needs CAP_NET_RAW, and IPv4. Only the headers of a segment are seen: no payload.
"""

from __future__ import annotations

import mmap
import socket
import struct
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

from bench_agent.load import tap_filter
from bench_agent.load.plan import Endpoint

#: A segment as the ring has it: seconds, nanoseconds, IP length, our port, sequence number, TCP's
#: data offset (upper half of the byte), TCP's flags; those of the headers in network order. Kept
#: packed: thousands of them wait, and as numbers they would not fit into the processor's cache.
SEGMENT = struct.Struct("<II58xH18xHI4xBB")
_PORT = 86  # where it stands in a segment
SYN = 0x02

_SOL_PACKET = 263
_PACKET_RX_RING, _PACKET_STATISTICS, _PACKET_VERSION = 5, 6, 10
_TPACKET_V2 = 1
_ETH_P_IP = 0x0800
_FRAME, _BLOCK, _BLOCKS = 128, 1 << 17, 64
_FRAMES = _BLOCK // _FRAME * _BLOCKS
_AT_ONCE = 128  # frames; a divisor of their number
#: tpacket2_hdr and sockaddr_ll take 80 bytes, as their alignment has it; then the IP header.
_BEFORE = 16
_EMPTY = 0  # state of a frame that is the kernel's
_LENGTH = 8  # where it stands in a frame
_WORDS = _FRAME // 4
_MOST_ENDPOINTS = 16
_IP_LOCAL_PORT_RANGE = 51
ALL_PORTS = 1024, 65535


class Tap:
    """The segments from *endpoints* to local *ports* (first and last).

    Raises:
        OSError: it is not allowed, or the system has no such thing.
    """

    def __init__(self, endpoints: Sequence[tuple[str, int]], ports: tuple[int, int]) -> None:
        kind = socket.htons(_ETH_P_IP)
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, kind)
        try:
            self._ring = self._open(endpoints, ports)
        except OSError:
            self._socket.close()
            raise
        self._bytes = memoryview(self._ring)
        words = self._bytes.cast("I")
        self._states = words[::_WORDS]
        self._lengths = words[_LENGTH // 4 :: _WORDS]
        words.release()
        halves = self._bytes.cast("H")
        self._ports = halves[(_BEFORE + _PORT) // 2 :: _FRAME // 2]
        halves.release()
        self._all_plain = struct.pack("I", tap_filter.PLAIN) * _AT_ONCE
        self._free = memoryview(bytes(4 * _AT_ONCE)).cast("I")
        self._at = 0

    def _open(self, endpoints: Sequence[tuple[str, int]], ports: tuple[int, int]) -> mmap.mmap:
        tap_filter.attach(self._socket, endpoints, ports)
        self._socket.setsockopt(_SOL_PACKET, _PACKET_VERSION, _TPACKET_V2)
        ring = struct.pack("IIII", _BLOCK, _BLOCKS, _FRAME, _FRAMES)
        self._socket.setsockopt(_SOL_PACKET, _PACKET_RX_RING, ring)  # forgets what came unfiltered
        return mmap.mmap(self._socket.fileno(), _BLOCK * _BLOCKS, mmap.MAP_SHARED)

    def take(self) -> tuple[list[bytes], list[int], list[bytes]]:
        """The segments that have come since the last call, in their order, and our port of each;
        and those of them that end a reply, or begin or end a connection.
        """  # noqa: D205 - one thought
        found: list[bytes] = []
        ports: list[int] = []
        endings: list[bytes] = []
        while True:
            at = self._at
            end = min(at + _AT_ONCE, _FRAMES)
            # All states first: a frame's content must not be read before its state.
            states = self._states[at:end].tolist()
            ready = states.index(_EMPTY) if _EMPTY in states else len(states)
            if not ready:
                return found, ports, endings
            new = _rows(ready).unpack_from(self._bytes, at * _FRAME)
            found += new
            ports += self._ports[at : at + ready].tolist()
            if self._lengths[at : at + ready].tobytes() != self._all_plain[: 4 * ready]:
                lengths = self._lengths[at : at + ready].tolist()
                pairs = zip(lengths, new, strict=True)
                endings += [segment for length, segment in pairs if length == tap_filter.ENDING]
            self._states[at : at + ready] = self._free[:ready]
            self._at = (at + ready) % _FRAMES
            if ready < len(states):
                return found, ports, endings

    def lost(self) -> int:
        """Segments that found no room since the last call."""
        counts = self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8)
        _seen, lost = struct.unpack("II", counts)
        return int(lost)

    def close(self) -> None:
        """Give the ring back."""
        for view in (self._states, self._lengths, self._ports, self._bytes):
            view.release()
        self._ring.close()
        self._socket.close()


def open_tap(endpoints: Sequence[Endpoint], ports: tuple[int, int]) -> Tap | None:
    """A tap where one can be had and is of use: plain HTTP over IPv4."""
    try:
        places = {_place(each) for each in endpoints if not each.tls}
        return Tap(sorted(places), ports) if 0 < len(places) <= _MOST_ENDPOINTS else None
    except (OSError, AttributeError):  # no right to, or no Linux
        return None


def local_ports(number: int, count: int) -> tuple[int, int]:
    """The share of the local ports that worker *number* of *count* takes: first and last."""
    first, last = 32768, 60999
    with suppress(OSError, ValueError):
        text = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text()
        first, last = map(int, text.split())
    width = (last - first + 1) // count
    return first + number * width, first + (number + 1) * width - 1


def confine(sock: socket.socket, ports: tuple[int, int]) -> None:
    """Have the connection of *sock* begin at one of *ports*.

    So each worker's tap tells of its own connections only.

    Raises:
        OSError: the kernel cannot do that (it came with Linux 6.3).
    """
    limits = struct.pack("I", ports[1] << 16 | ports[0])
    sock.setsockopt(socket.IPPROTO_IP, _IP_LOCAL_PORT_RANGE, limits)


def can_confine() -> bool:
    """Whether `confine` is of use here."""
    try:
        with socket.socket() as sock:
            confine(sock, local_ports(0, 1))
    except OSError:
        return False
    return True


@cache
def _rows(frames: int) -> struct.Struct:
    """The segments in so many frames."""
    after = _FRAME - _BEFORE - SEGMENT.size
    return struct.Struct(f"{_BEFORE}x{SEGMENT.size}s{after}x" * frames)


def _place(endpoint: Endpoint) -> tuple[str, int]:
    found = socket.getaddrinfo(*endpoint.address, socket.AF_INET, socket.SOCK_STREAM)
    return str(found[0][4][0]), int(found[0][4][1])
