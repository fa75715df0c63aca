"""One SSH session on a local host: a command or a shell, with or without a terminal.

As with sshd, bytes pass unchanged, a full pipe on one side slows the other, and the session
lasts until the command has ended and its output is closed. A command whose channel closes
first is hung up; what it detached before lives on.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import pty
import signal
import struct
import termios
from collections.abc import Mapping, Sequence
from typing import IO, TYPE_CHECKING

import asyncssh

if TYPE_CHECKING:
    from stacks.local_login import Children

_HUP_PATIENCE_S = 2.0
_DRAIN_S = 0.2
# A session leader without a terminal gets the first one that it opens.
_TAKE_TERMINAL = 'exec 3<>"$1"; exec 3>&-; shift; exec "$@"'


class Session(asyncssh.SSHServerSession[bytes]):
    """Between a channel and a process."""

    def __init__(self, children: Children) -> None:
        self._children = children
        self._argv: Sequence[str] = ()
        self._term = ""
        self._size = (0, 0, 0, 0)
        self._master = -1
        self._pid = 0
        self._end: asyncio.Future[int] | None = None
        self._input: asyncio.WriteTransport | None = None
        self._early = bytearray()
        self._early_eof = False
        self._outputs: list[_Output] = []
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, chan: asyncssh.SSHServerChannel[bytes]) -> None:
        """Keep the channel."""
        self._chan = chan

    def pty_requested(
        self, term_type: str, term_size: tuple[int, int, int, int], _term_modes: Mapping[int, int]
    ) -> bool:
        """A terminal of that kind and size."""
        self._term, self._size = term_type, term_size
        return True

    def shell_requested(self) -> bool:
        """The user's shell, interactive where there is a terminal."""
        self._argv = (self._children.shell, "-i") if self._term else (self._children.shell,)
        return True

    def exec_requested(self, command: str) -> bool:
        """One line for /bin/sh."""
        self._argv = ("/bin/sh", "-c", command)
        return True

    def session_started(self) -> None:
        """Start the process; what the client sends waits until its stdin is there."""
        self._task = asyncio.create_task(self._run())

    def data_received(self, data: bytes, _datatype: asyncssh.DataType) -> None:
        """From the client to stdin."""
        if self._input is None:
            self._early += data  # at most one channel window
        elif not self._input.is_closing():
            self._input.write(data)

    def eof_received(self) -> bool:
        """No more stdin; stdout stays open."""
        if self._input is None:
            self._early_eof = True
        elif self._master < 0:
            self._input.write_eof()
        else:
            self._input.write(b"\x04")  # a terminal has no other end of file
        return True

    def terminal_size_changed(self, width: int, height: int, pixwidth: int, pixheight: int) -> None:
        """Pass the new size on."""
        if self._master >= 0 and self._outputs and not self._outputs[0].closed.done():
            _set_size(self._master, (width, height, pixwidth, pixheight))

    def signal_received(self, name: str) -> None:
        """Pass a signal (``INT``) on to the process and its group."""
        self._signal(f"SIG{name}")

    def break_received(self, _msec: int) -> bool:
        """As Ctrl-C."""
        self._signal("SIGINT")
        return True

    def pause_writing(self) -> None:
        """The client reads slower than the process writes."""
        for output in self._outputs:
            output.pause()

    def resume_writing(self) -> None:
        """The client has caught up."""
        for output in self._outputs:
            output.resume()

    def connection_lost(self, _exc: Exception | None) -> None:
        """Hang up on what still runs in the foreground."""
        self._master = -1
        for transport in (self._input, *(output.transport for output in self._outputs)):
            if transport:
                transport.close()
        if self._end and not self._end.done():
            self._signal("SIGHUP")
            self._task = asyncio.create_task(self._terminate())

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            stdin, outputs = self._spawn()
        except OSError as error:
            self._chan.write_stderr(f"{error}\n".encode())
            self._chan.exit(126)
            return
        self._input, _ = await loop.connect_write_pipe(lambda: _Input(self._chan), stdin)
        self._catch_up()
        for file, datatype in outputs:
            output = _Output(self._chan, datatype)
            await loop.connect_read_pipe(lambda output=output: output, file)  # type: ignore[misc]
            self._outputs.append(output)
        assert self._end is not None  # noqa: S101 - set by _spawn
        code = await asyncio.shield(self._end)
        await self._drained()
        if not self._chan.is_closing():
            self._leave(code)

    def _catch_up(self) -> None:
        early, self._early = bytes(self._early), bytearray()
        self.data_received(early, None)
        if self._early_eof:
            self.eof_received()

    def _spawn(self) -> tuple[IO[bytes], list[tuple[IO[bytes], asyncssh.DataType]]]:
        return self._spawn_on_terminal() if self._term else self._spawn_on_pipes()

    def _spawn_on_pipes(self) -> tuple[IO[bytes], list[tuple[IO[bytes], asyncssh.DataType]]]:
        inner_in, outer_in = os.pipe()
        outer_out, inner_out = os.pipe()
        outer_err, inner_err = os.pipe()
        inner = (inner_in, inner_out, inner_err)
        try:
            self._pid, self._end = self._children.start(self._argv, inner, {})
        finally:
            for number in inner:
                os.close(number)
        return os.fdopen(outer_in, "wb", 0), [
            (os.fdopen(outer_out, "rb", 0), None),
            (os.fdopen(outer_err, "rb", 0), asyncssh.EXTENDED_DATA_STDERR),
        ]

    def _spawn_on_terminal(self) -> tuple[IO[bytes], list[tuple[IO[bytes], asyncssh.DataType]]]:
        self._master, slave = pty.openpty()
        _set_size(self._master, self._size)
        argv = ("/bin/sh", "-c", _TAKE_TERMINAL, "sh", os.ttyname(slave), *self._argv)
        try:
            self._pid, self._end = self._children.start(argv, (slave,) * 3, {"TERM": self._term})
        finally:
            os.close(slave)
        return os.fdopen(os.dup(self._master), "wb", 0), [(os.fdopen(self._master, "rb", 0), None)]

    async def _drained(self) -> None:
        """Output is over when its last holder closed it; on a terminal, soon after the command."""
        closed = [asyncio.shield(output.closed) for output in self._outputs]
        timeout = _DRAIN_S if self._term else None
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(*closed), timeout)

    def _leave(self, code: int) -> None:
        if code < 0:
            self._chan.exit_with_signal(signal.Signals(-code).name.removeprefix("SIG"))
        else:
            self._chan.exit(code)

    async def _terminate(self) -> None:
        assert self._end is not None  # noqa: S101 - connection_lost looked
        try:
            await asyncio.wait_for(asyncio.shield(self._end), _HUP_PATIENCE_S)
        except TimeoutError:
            self._signal("SIGTERM")

    def _signal(self, name: str) -> None:
        number = getattr(signal, name, None)
        if number is not None and self._end and not self._end.done():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._pid, number)  # not reaped yet, so the number is still its own


class _Input(asyncio.BaseProtocol):
    """Slows the client down while the process does not read."""

    def __init__(self, chan: asyncssh.SSHServerChannel[bytes]) -> None:
        self._chan = chan

    def pause_writing(self) -> None:
        self._chan.pause_reading()

    def resume_writing(self) -> None:
        # Not at once: asyncio closes a pipe with bytes still in its buffer when the end of file
        # comes from within this call.
        asyncio.get_running_loop().call_soon(self._chan.resume_reading)


class _Output(asyncio.Protocol):
    """From stdout or stderr to the channel."""

    transport: asyncio.ReadTransport | None = None

    def __init__(self, chan: asyncssh.SSHServerChannel[bytes], datatype: asyncssh.DataType) -> None:
        self._chan = chan
        self._datatype = datatype
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.ReadTransport)  # noqa: S101 - of a pipe
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if not self._chan.is_closing():
            self._chan.write(data, self._datatype)

    def connection_lost(self, _exc: Exception | None) -> None:
        if not self.closed.done():
            self.closed.set_result(None)

    def pause(self) -> None:
        if self.transport and self.transport.is_reading():
            self.transport.pause_reading()

    def resume(self) -> None:
        if self.transport and not self.transport.is_closing() and not self.transport.is_reading():
            self.transport.resume_reading()


def _set_size(terminal: int, size: Sequence[int]) -> None:
    width, height, pixel_width, pixel_height = size
    packed = struct.pack("HHHH", height, width, pixel_width, pixel_height)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, packed)
