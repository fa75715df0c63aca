"""Both ends of a connection behind TLS: papers, a real server, and the agent's own side."""

from __future__ import annotations

import datetime as dt
import ipaddress
import select
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bench_agent import stamps
from bench_agent.load.tls import TlsSocket

READ = 64 * 1024
_DAY = dt.timedelta(days=1)
_PEM = serialization.Encoding.PEM
Script = Callable[[ssl.SSLSocket], None]


@dataclass(frozen=True)
class Papers:
    """Files of an authority and of what it vouches for: `good` on loopback, `other` elsewhere."""

    authority: Path
    good: Path
    other: Path

    def server(self, chain: Path | None = None) -> ssl.SSLContext:
        """What a server needs to show them."""
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.load_cert_chain(chain or self.good)
        return made


def make_papers(folder: Path) -> Papers:
    """An authority and two certificates."""
    root = ec.generate_private_key(ec.SECP256R1())
    paper = _paper("authority", root, "authority", root, ())
    (folder / "authority.pem").write_bytes(paper.public_bytes(_PEM))
    loopback = ipaddress.ip_address("127.0.0.1")
    names = {
        "good": (x509.DNSName("localhost"), x509.IPAddress(loopback)),
        "other": (x509.DNSName("elsewhere.example"),),
    }
    for name, bears in names.items():
        key = ec.generate_private_key(ec.SECP256R1())
        secret = key.private_bytes(
            _PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        shown = _paper(name, key, "authority", root, bears).public_bytes(_PEM)
        (folder / f"{name}.pem").write_bytes(secret + shown)
    return Papers(*(folder / f"{name}.pem" for name in ("authority", "good", "other")))


def _paper(
    subject: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: str,
    signer: ec.EllipticCurvePrivateKey,
    bears: tuple[x509.GeneralName, ...],
) -> x509.Certificate:
    now = dt.datetime.now(dt.timezone.utc)
    made = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _DAY)
        .not_valid_after(now + _DAY)
        .add_extension(x509.BasicConstraints(ca=not bears, path_length=None), critical=True)
    )
    if bears:
        made = made.add_extension(x509.SubjectAlternativeName(bears), critical=False)
    return made.sign(signer, hashes.SHA256())


def secured(made: ssl.SSLContext, script: Script) -> Callable[[socket.socket], None]:
    """*script* behind TLS."""

    def play(sock: socket.socket) -> None:
        with made.wrap_socket(sock, server_side=True, suppress_ragged_eofs=False) as secure:
            script(secure)

    return play


def wait(sock: TlsSocket, events: int = select.POLLIN) -> None:
    """Until *sock* is ready."""
    poll = select.poll()
    poll.register(sock.fileno(), events)
    assert poll.poll(10_000)


@contextmanager
def begun(port: int, made: ssl.SSLContext, name: str = "127.0.0.1") -> Iterator[TlsSocket]:
    """A connection that is about to be."""
    sock = socket.socket()
    sock.setblocking(False)
    stamps.ask_for(sock)
    sock.connect_ex(("127.0.0.1", port))
    secure = TlsSocket(sock, made, name)
    try:
        yield secure
    finally:
        secure.close()


@contextmanager
def connected(port: int, made: ssl.SSLContext, name: str = "127.0.0.1") -> Iterator[TlsSocket]:
    """A connection on which both sides agreed."""
    with begun(port, made, name) as secure:
        shake(secure)
        yield secure


def shake(secure: TlsSocket) -> None:
    """The whole handshake."""
    while not secure.handshake():
        wait(secure, select.POLLIN | (select.POLLOUT if secure.pending else 0))


def send_all(secure: TlsSocket, data: bytes) -> None:
    """Send *data*, whatever it takes."""
    view = memoryview(data)
    deadline = time.monotonic() + 10
    while view or secure.pending:
        assert time.monotonic() < deadline
        with suppress(BlockingIOError):
            view = view[secure.send(view) :]
        wait(secure, select.POLLOUT)


def fill(secure: TlsSocket, data: bytes) -> int:
    """Send of *data* what goes without waiting; how much that is."""
    taken = 0
    while taken < len(data) and not secure.pending:
        taken += secure.send(memoryview(data)[taken:])
    return taken


def receive(secure: TlsSocket, count: int) -> bytes:
    """At least *count* bytes, or all until the end."""
    got = b""
    deadline = time.monotonic() + 10
    while len(got) < count:
        assert time.monotonic() < deadline
        wait(secure)
        with suppress(BlockingIOError):
            data = secure.recvmsg(READ)[0]
            if not data:
                break
            got += data
    return got
