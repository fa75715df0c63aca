"""Fingerprints of public keys, against what gpg says of them."""

from __future__ import annotations

import base64
import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioning import openpgp

#: Made with gpg 2.2; its fingerprint is what `gpg --list-keys` printed.
KEY = """\
-----BEGIN PGP PUBLIC KEY BLOCK-----

mDMEawHrChYJKwYBBAHaRw8BAQdAC9keMxt0+SNq2W8sIi4oBeS896+Wit688THY
uTFF+Ni0JU1pcnJvciBmb3IgdGVzdHMgPG1pcnJvckBleGFtcGxlLm5ldD6IkAQT
FggAOBYhBJsoXmXg5gjojI1M//0X6dVYELHhBQJrAesKAhsDBQsJCAcCBhUKCQgL
AgQWAgMBAh4BAheAAAoJEP0X6dVYELHhoZoBALlyyciOrT0O/01dXaZGumAHRRLS
BJX2AZCD8v8OTgSPAP9AGu1e5OwhaRTvTgeKTIyMdEofzg1PkEwP/ypBF0ZoCQ==
=itS4
-----END PGP PUBLIC KEY BLOCK-----
"""
FINGERPRINT = "9B285E65E0E608E88C8D4CFFFD17E9D55810B1E1"
BINARY = base64.b64decode("".join(KEY.splitlines()[2:-2]))


@pytest.mark.parametrize(
    "data",
    [KEY.encode(), BINARY, KEY.replace("\n", "\r\n").encode()],
    ids=["armoured", "binary", "other line ends"],
)
def test_a_real_key_has_its_fingerprint(data: bytes) -> None:
    """In either form, as gpg tells it."""
    assert [FINGERPRINT] == openpgp.fingerprints(data)


def test_all_keys_of_a_file_are_found() -> None:
    """A second key would be trusted like the first: it has to be seen."""
    assert [FINGERPRINT] * 2 == openpgp.fingerprints(KEY.encode() * 2)
    assert [FINGERPRINT] * 2 == openpgp.fingerprints(BINARY * 2)


@given(st.integers(0, 70000).map(bytes), st.sampled_from(["old", "new"]))
def test_packets_of_any_length_are_passed_over(body: bytes, form: str) -> None:
    """Each way of writing a length leads to the next packet."""
    size = len(body)
    if form == "old":
        octets = 0 if size < 256 else 1 if size < 65536 else 2
        head = bytes([0x80 | 13 << 2 | octets]) + size.to_bytes(1 << octets, "big")
    elif size < 192:
        head = bytes([0xC0 | 13, size])
    elif size < 8384:
        head = bytes([0xC0 | 13, ((size - 192) >> 8) + 192, (size - 192) & 255])
    else:
        head = bytes([0xC0 | 13, 255]) + size.to_bytes(4, "big")
    assert [FINGERPRINT] == openpgp.fingerprints(head + body + BINARY)


def test_a_fingerprint_is_that_of_the_standard() -> None:
    """SHA-1 over 0x99, two octets of length, and the packet (RFC 4880, 12.2)."""
    body = b"\x04 any key"
    packet = bytes([0x80 | 6 << 2, len(body)]) + body
    expected = hashlib.sha1(b"\x99\x00\x09" + body).hexdigest().upper()
    assert [expected] == openpgp.fingerprints(packet)


@pytest.mark.parametrize("data", [b"<html>404</html>", b"\x99", KEY[:64].encode()])
def test_what_is_no_key_has_none(data: bytes) -> None:
    """A page that says 404, or a download cut short."""
    try:
        found = openpgp.fingerprints(data)
    except ValueError:
        found = []
    assert [] == found


@pytest.mark.parametrize(
    ("wanted", "code", "said"),
    [
        (FINGERPRINT, 0, ""),
        ("0" * 40, 1, f"the key is {FINGERPRINT}, expected is {'0' * 40}\n"),
    ],
)
def test_it_runs_by_itself_on_a_host(tmp_path: Path, wanted: str, code: int, said: str) -> None:
    """From standard input, with nothing but the standard library; tells what it found."""
    (tmp_path / "key").write_text(KEY)
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-", tmp_path / "key", wanted],
        input=Path(openpgp.__file__).read_text(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (code, said) == (done.returncode, done.stderr)
