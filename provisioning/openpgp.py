"""The fingerprint of an OpenPGP public key; also run on hosts, with their Python alone.

``python3 openpgp.py FILE FINGERPRINT`` ends with 0 when FILE holds that one key and no other.
"""

from __future__ import annotations

import base64
import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path

_PUBLIC_KEY = 6


def fingerprints(data: bytes) -> list[str]:
    """Those of the primary keys (version 4) in *data*, armoured or not.

    Raises:
        ValueError: it is no OpenPGP data.
    """
    try:
        keys = [body for tag, body in _packets(_plain(data)) if tag == _PUBLIC_KEY]
    except IndexError:
        raise ValueError("no OpenPGP data") from None
    heads = (b"\x99" + len(key).to_bytes(2, "big") + key for key in keys)
    return [hashlib.sha1(head).hexdigest().upper() for head in heads]  # noqa: S324 - OpenPGP's own


def _plain(data: bytes) -> bytes:
    if not data.lstrip().startswith(b"-----BEGIN"):
        return data
    blocks = data.replace(b"\r\n", b"\n").split(b"-----BEGIN PGP PUBLIC KEY BLOCK-----")[1:]
    return b"".join(_decoded(block.partition(b"-----END")[0]) for block in blocks)


def _decoded(block: bytes) -> bytes:
    lines = block.partition(b"\n\n")[2].split(b"\n")  # headers end with an empty line
    return base64.b64decode(b"".join(line for line in lines if not line.startswith(b"=")))


def _packets(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(data):
        if not data[at] & 0x80:
            raise ValueError("no OpenPGP data")
        tag, begin, size = _header(data, at)
        yield tag, data[begin : begin + size]
        at = begin + size


def _header(data: bytes, at: int) -> tuple[int, int, int]:
    """Tag, where the body begins, and how long it is (RFC 4880, 4.2)."""
    first, length = data[at], data[at + 1]
    if not first & 0x40:
        octets = 1 << (first & 3)
        return (first >> 2) & 15, at + 1 + octets, _number(data, at + 1, octets)
    if length < 192:
        return first & 63, at + 2, length
    if length < 224:
        return first & 63, at + 3, ((length - 192) << 8) + data[at + 2] + 192
    return first & 63, at + 6, _number(data, at + 2, 4)


def _number(data: bytes, at: int, octets: int) -> int:
    return int.from_bytes(data[at : at + octets], "big")


if __name__ == "__main__":
    found = fingerprints(Path(sys.argv[1]).read_bytes())
    if found != sys.argv[2:]:
        sys.exit(f"the key is {' and '.join(found) or 'none'}, expected is {sys.argv[2]}")
