"""HTTP/1.1 messages out of bytes: heads, and bodies of every framing, piece by piece."""

from __future__ import annotations

from dataclasses import dataclass

MAX_HEAD = 64 * 1024


class HttpError(ValueError):
    """These bytes are no HTTP/1.1 message."""


@dataclass(frozen=True)
class Head:
    """A start line and the fields below it, names in lower case."""

    start: str
    fields: dict[str, str]

    @property
    def status(self) -> int:
        """The status code of a response.

        Raises:
            HttpError: the start line is not that of a response.
        """
        version, _, rest = self.start.partition(" ")
        code = rest[:3]
        if not version.startswith("HTTP/1.") or len(code) != 3 or not code.isdigit():
            raise HttpError(f"not a status line: {self.start[:80]!r}")
        return int(code)

    @property
    def keeps_alive(self) -> bool:
        """Whether the connection may carry another message after this one."""
        wanted = self.fields.get("connection", "").lower()
        if self.start.startswith("HTTP/1.0") or self.start.endswith("HTTP/1.0"):
            return wanted == "keep-alive"
        return wanted != "close"


def parse_head(raw: bytes) -> Head:
    """Read a head (without the empty line that ends it).

    Raises:
        HttpError: a field has no colon.
    """
    start, *lines = raw.decode("latin-1").split("\r\n")
    fields = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            raise HttpError(f"not a header field: {line[:80]!r}")
        fields[name.strip().lower()] = value.strip()
    return Head(start, fields)


def split_head(raw: bytes) -> tuple[Head, bytes] | None:
    """Split what came so far into head and rest; None while the head is not whole.

    Raises:
        HttpError: no head, or a longer one than anybody sends.
    """
    head, end, rest = raw.partition(b"\r\n\r\n")
    if end:
        return parse_head(head), rest
    if len(raw) > MAX_HEAD:
        raise HttpError(f"no end of the head within {MAX_HEAD} bytes")
    return None


class Body:
    """Takes a body out of its framing, piece by piece.

    `done` is set when the body is whole; `rest` then holds what came after it.
    """

    def __init__(self, length: int | None, *, chunked: bool = False) -> None:
        self.done = length == 0 and not chunked
        self.rest = b""
        self._until_close = length is None and not chunked
        self.chunked = chunked
        self._left = length or 0
        self._skip = 0
        self._trailer = False

    @property
    def between_chunks(self) -> bool:
        """Whether the next byte begins a chunk."""
        return self.chunked and not (self._left or self._skip or self._trailer or self.rest)

    @property
    def open_end(self) -> bool:
        """Whether there is no framing at all: the body ends with the connection."""
        return self._until_close

    def feed(self, data: bytes) -> bytes:
        """The payload in *data*.

        Raises:
            HttpError: the framing is broken.
        """
        if self._until_close:
            return data
        if self.chunked:
            return self._feed_chunks(data)
        piece = data[: self._left]
        self._left -= len(piece)
        self.rest += data[len(piece) :]
        self.done = self._left == 0
        return piece

    def close(self) -> None:
        """The other side closed: the end of a body that has no other end."""
        if self._until_close:
            self.done = True

    def _feed_chunks(self, data: bytes) -> bytes:
        raw = self.rest + data if self.rest else data
        out = []
        at = 0
        while at < len(raw) and not self.done:
            if self._left or self._skip:
                step = min(self._left or self._skip, len(raw) - at)
                if self._left:
                    out.append(raw[at : at + step])
                    self._left -= step
                else:
                    self._skip -= step
                at += step
                continue
            end = raw.find(b"\r\n", at)
            if end < 0:
                break
            self._take_line(raw[at:end])
            at = end + 2
        self.rest = raw[at:]
        if not self.done and len(self.rest) > MAX_HEAD:
            raise HttpError("a chunk without a size line")
        return b"".join(out)

    def _take_line(self, line: bytes) -> None:
        if self._trailer:
            self.done = not line
            return
        digits = line.partition(b";")[0].strip()
        try:
            size = int(digits, 16)
        except ValueError:
            raise HttpError(f"not a chunk size: {line[:40]!r}") from None
        if size < 0:
            raise HttpError(f"not a chunk size: {line[:40]!r}")
        self._left = size
        self._skip = 2 if size else 0
        self._trailer = size == 0


def body_of(head: Head, *, response: bool) -> Body:
    """The framing that *head* announces.

    Raises:
        HttpError: a content length that is no number.
    """
    if "chunked" in head.fields.get("transfer-encoding", "").lower():
        return Body(None, chunked=True)
    length = head.fields.get("content-length")
    if length is None:
        return Body(None if response else 0)
    if not length.isdigit():
        raise HttpError(f"not a content length: {length[:40]!r}")
    return Body(int(length))
