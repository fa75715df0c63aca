"""TLS over a socket that never waits, with the kernel's stamps of the ciphertext kept."""

from __future__ import annotations

import errno
import socket
import ssl
from contextlib import suppress
from typing import Any

from bench_agent.load.plan import LoadError

Received = tuple[bytes, list[tuple[int, int, bytes]], int, Any]
#: Bytes that are read or encrypted at a time.
_PIECE = 64 * 1024
#: X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH.
_WRONG_NAME = (62, 64)


class TlsError(OSError):
    """`strerror`: what happened, and what to do."""

    def __init__(self, sentence: str) -> None:
        super().__init__(errno.EPROTO, sentence)

    def __str__(self) -> str:
        return str(self.strerror)


def context(ca_file: str | None = None, insecure: bool = False) -> ssl.SSLContext:
    """Trusts the certificates in *ca_file*, or the system's; *insecure*: whoever answers.

    Raises:
        LoadError: the file cannot be read, or holds no certificate.
    """
    try:
        made = ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise LoadError(
            f"No certificates can be read from {ca_file} ({error.strerror}). Give a PEM file."
        ) from None
    # As newer Pythons do not, and older ones do: a server is trusted alike by all of them.
    made.verify_flags &= ~ssl.VERIFY_X509_STRICT
    made.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    made.options |= ssl.OP_NO_RENEGOTIATION  # so that a write never waits for a read
    if insecure:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    return made


class TlsSocket:
    """Wraps *sock*, non-blocking, connected or about to be; *name*: whom it has to prove to be.

    Call `handshake` until it is True, then `send` and `recvmsg` as on a socket.
    """

    def __init__(self, sock: socket.socket, made: ssl.SSLContext, name: str) -> None:
        self._sock = sock
        self._name = name
        self._in = ssl.MemoryBIO()
        self._out = ssl.MemoryBIO()
        self._tls = made.wrap_bio(self._in, self._out, server_hostname=name)
        self._unsent = b""
        self._ended = False
        self.fileno = sock.fileno
        self.setsockopt = sock.setsockopt
        self.getsockopt = sock.getsockopt

    @property
    def pending(self) -> bool:
        """Whether ciphertext waits until the socket takes more."""
        return bool(self._unsent or self._out.pending)

    def handshake(self) -> bool:
        """Go on with it; False: once the socket is readable (`pending`: or writable), call again.

        Raises:
            OSError: there can be no TLS with the other side; a `TlsError` says why.
        """
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._flush()
            except ssl.SSLError as error:
                with suppress(OSError):
                    self._flush()  # the alert that tells the other side
                raise TlsError(_sentence(error, self._name)) from None
            else:
                self._flush()
                return True
            try:
                self._feed(self._sock.recv(_PIECE))
            except BlockingIOError:
                return False

    def send(self, data: bytes | memoryview) -> int:
        """Bytes of *data* taken; what is taken but still `pending` goes with the next call.

        Raises:
            BlockingIOError: nothing was taken.
            OSError: the connection is broken.
        """
        self._flush()
        if self.pending:
            raise BlockingIOError(errno.EAGAIN, "earlier bytes still wait")
        view, taken = memoryview(data), 0
        while taken < len(view) and not self.pending:
            taken += self._tls.write(view[taken : taken + _PIECE])
            self._flush()
        return taken

    def recvmsg(self, size: int, ancillary_size: int = 0) -> Received:
        """All plaintext that one read of *size* bytes completes, and the stamp of that read.

        Empty at the end, with or without a farewell: whether the reply was whole, HTTP tells.

        Raises:
            BlockingIOError: no plaintext came of it.
            OSError: the connection is broken.
        """
        if self._ended:
            return b"", [], 0, None
        data, ancillary, flags, address = self._sock.recvmsg(size, ancillary_size)
        self._feed(data)
        plain = self._decrypt()
        if self._out.pending:  # an answer of the protocol's own
            with suppress(OSError):  # a broken connection shows at the next read
                self._flush()
        if not plain and not self._ended:
            raise BlockingIOError(errno.EAGAIN, "no plaintext yet")
        return plain, ancillary, flags, address

    def close(self) -> None:
        """Say farewell, if that can be done at once, and close the socket."""
        with suppress(OSError):
            self._tls.unwrap()
        with suppress(OSError):
            self._flush()
        self._sock.close()

    def _feed(self, data: bytes) -> None:
        if data:
            self._in.write(data)
        else:
            self._in.write_eof()

    def _decrypt(self) -> bytes:
        pieces = []
        try:
            while piece := self._tls.read(_PIECE):
                pieces.append(piece)
                if not self._in.pending and not self._tls.pending():
                    break
            else:
                self._ended = True
        except ssl.SSLWantReadError:
            pass
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
            self._ended = True
        except ssl.SSLError as error:
            raise TlsError(_sentence(error, self._name)) from None
        return b"".join(pieces)

    def _flush(self) -> None:
        while self.pending:
            self._unsent = self._unsent or self._out.read()
            try:
                sent = self._sock.send(self._unsent)
            except BlockingIOError:
                return
            self._unsent = self._unsent[sent:]


def _sentence(error: ssl.SSLError, name: str) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code in _WRONG_NAME:
            return f"The certificate is not one for {name}. Use a name that it bears in the URL."
        return (
            f"The certificate of {name} is not trusted ({error.verify_message}). "
            "Name its authority's file as ca_file."
        )
    if isinstance(error, ssl.SSLEOFError):
        return f"{name} closed the connection in the TLS handshake. Does it speak https?"
    reason = (error.reason or "unknown reason").lower().replace("_", " ")
    return f"TLS with {name} broke ({reason}). Does it speak https?"
