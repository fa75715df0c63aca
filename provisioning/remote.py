"""How commands reach a host: SSH through fabric, or this very machine.

The only module that imports fabric and paramiko. Host keys are pinned: nothing is
ever added to a list of known hosts, and a host that shows another key is refused.
"""

from __future__ import annotations

import base64
import hashlib
import io
import logging
import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

import fabric
import paramiko

from provisioning.errors import HostKeyError, RemoteError
from stacks.outputs import HostOutput

# Without a handler Python would print paramiko's tracebacks of what we tell in our own words.
logging.getLogger("paramiko").addHandler(logging.NullHandler())

CONNECT_TIMEOUT_S = 10.0
KEEPALIVE_S = 10
#: A silent peer is taken for dead after this long without an answer to keep-alives.
DEAD_AFTER_S = 30.0
SSH_PORT = 22
_BLOCK = 65536
_PATIENCE = {"banner_timeout": CONNECT_TIMEOUT_S, "auth_timeout": CONNECT_TIMEOUT_S}


@dataclass(frozen=True)
class Completed:
    """How a command ended."""

    exit_code: int
    stdout: str
    stderr: str


class Remote(Protocol):
    """A machine that runs shell commands.

    `name` is for messages; `exchanges` counts the commands sent so far.
    """

    name: str
    exchanges: int

    def run(self, command: str, *, stdin: bytes = b"", timeout_s: float | None = None) -> Completed:
        """Run one line of ``/bin/sh``; a non-zero exit is told, not raised.

        Raises:
            RemoteError: the host cannot be reached, or was silent for *timeout_s*.
        """
        ...

    def stream(self, command: str, *, stdin: bytes = b"") -> AbstractContextManager[IO[bytes]]:
        """Run a command and read its standard output as it comes.

        Leaving the context early ends the command. A command that is silent for
        `DEAD_AFTER_S` is taken for a broken connection: long waits must say something.

        Raises:
            RemoteError: the connection broke, from entering to the last read.
        """
        ...

    def close(self) -> None:
        """Let go of the connection."""
        ...


#: What commands on this machine get of our environment: no credentials, no passphrases.
_ENVIRONMENT = ("PATH", "HOME", "USER", "LANG", "LC_ALL", "TMPDIR")


class LocalRemote:
    """The controller's own machine."""

    def __init__(self, workdir: Path) -> None:
        self.name = "this machine"
        self.exchanges = 0
        self._workdir = workdir

    def run(self, command: str, *, stdin: bytes = b"", timeout_s: float | None = None) -> Completed:
        """Run *command* in the working folder."""
        self.exchanges += 1
        self._workdir.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            done = subprocess.run(
                ["/bin/sh", "-c", command],
                input=stdin,
                capture_output=True,
                cwd=self._workdir,
                env=_environment(),
                timeout=timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise _timed_out(self.name, timeout_s) from None
        return Completed(done.returncode, _text(done.stdout), _text(done.stderr))

    @contextmanager
    def stream(self, command: str, *, stdin: bytes = b"") -> Iterator[IO[bytes]]:
        """Run *command* and hand out its standard output."""
        self.exchanges += 1
        process = subprocess.Popen(
            ["/bin/sh", "-c", command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=self._workdir,
            env=_environment(),
        )
        if process.stdin is None or process.stdout is None:
            raise RemoteError("A command could not be started on this machine.")
        try:
            with process.stdin as pipe:
                pipe.write(stdin)
            yield process.stdout
        finally:
            process.stdout.close()
            process.terminate()
            process.wait()

    def close(self) -> None:
        """Nothing is held."""


class SshRemote:
    """A host over SSH, its host key pinned by the stack's outputs."""

    def __init__(self, host: HostOutput, private_key: str | None) -> None:
        self.name = host.name
        self.exchanges = 0
        self._host = host
        self._private_key = private_key
        self._connection: Any = None
        self._opening = threading.Lock()

    def run(self, command: str, *, stdin: bytes = b"", timeout_s: float | None = None) -> Completed:
        """Run *command*; see `Remote.run`."""
        with self._channel(command) as channel:
            feeder = threading.Thread(target=_feed, args=(channel, stdin), daemon=True)
            feeder.start()
            try:
                out, err = _read_both(channel, timeout_s)
            except TimeoutError:
                raise _timed_out(self.name, timeout_s) from None
            self._require_exit(channel)
            return Completed(channel.recv_exit_status(), _text(out), _text(err))

    @contextmanager
    def stream(self, command: str, *, stdin: bytes = b"") -> Iterator[IO[bytes]]:
        """Run *command* and hand out its standard output; see `Remote.stream`."""
        with self._channel(command) as channel:
            threading.Thread(target=_feed, args=(channel, stdin), daemon=True).start()
            yield io.BufferedReader(_ChannelReader(channel, self._broken), _BLOCK)

    def close(self) -> None:
        """Close the connection; a later command opens a new one."""
        if self._connection is not None:
            self._drop(self._connection)

    def _drop(self, connection: Any) -> None:
        """Close *connection*; one that somebody opened since then stays."""
        with self._opening:
            if self._connection is connection:
                self._connection = None
        connection.close()

    @contextmanager
    def _channel(self, command: str) -> Iterator[paramiko.Channel]:
        self.exchanges += 1
        connection = self._connected()
        try:
            channel = connection.client.get_transport().open_session(timeout=CONNECT_TIMEOUT_S)
            channel.exec_command(command)
        except (paramiko.SSHException, OSError, EOFError) as error:
            self._drop(connection)
            raise self._broken() from error
        try:
            yield channel
        except (OSError, EOFError, paramiko.SSHException) as error:
            self._drop(connection)
            raise self._broken() from error
        finally:
            channel.close()

    def _require_exit(self, channel: paramiko.Channel) -> None:
        came = channel.exit_status_ready() or channel.status_event.wait(CONNECT_TIMEOUT_S)
        if not came or channel.exit_status == -1:
            raise self._broken()

    def _broken(self) -> RemoteError:
        return RemoteError(
            f"The connection to {self.name} broke.",
            "What was started on the host goes on; try again.",
            host=self.name,
        )

    def _connected(self) -> Any:
        with self._opening:
            connection = self._connection
            if connection is not None and connection.is_connected:
                return connection
            self._connection = _connect(self._host, self._private_key)
            return self._connection


def _connect(host: HostOutput, private_key: str | None) -> Any:
    config = fabric.Config(overrides={"load_ssh_configs": False, "run": {"hide": True}})
    connection = fabric.Connection(
        host.address,
        user=host.user,
        port=host.port,
        config=config,
        connect_timeout=CONNECT_TIMEOUT_S,
        connect_kwargs=_credentials(host, private_key),
    )
    pin(connection.client, host)
    where = f"{host.name} ({host.address}:{host.port})"
    try:
        connection.connect_kwargs["sock"] = _dial(host)
        connection.open()
    except paramiko.BadHostKeyException as error:
        raise _other_key(where, host, error.key) from None
    except paramiko.AuthenticationException as error:
        raise RemoteError(
            f"{where} did not accept the key for user {host.user}.",
            "Check user and key of the stack (`pulumi stack output`).",
            host=host.name,
        ) from error
    except paramiko.SSHException as error:
        raise _ssh_trouble(where, host, error) from error
    except (OSError, EOFError) as error:
        raise RemoteError(
            f"{where} cannot be reached: {_reason(error)}.",
            "Check that the stack is up (`fab status`) and that its address is open to you.",
            host=host.name,
        ) from error
    connection.client.get_transport().set_keepalive(KEEPALIVE_S)
    return connection


def _dial(host: HostOutput) -> socket.socket:
    """A socket on which small packets do not wait for each other: that costs 40 ms a command."""
    dialled = socket.create_connection((host.address, host.port), CONNECT_TIMEOUT_S)
    dialled.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return dialled


def pin(client: paramiko.SSHClient, host: HostOutput) -> None:
    """Let *client* accept the host keys of *host*, and no other."""
    client.set_missing_host_key_policy(paramiko.RejectPolicy())
    known = client.get_host_keys()
    known.clear()
    name = host.address if host.port == SSH_PORT else f"[{host.address}]:{host.port}"
    for line in host.host_keys:
        kind, blob = line.split()[:2]
        known.add(name, kind, paramiko.PKey.from_type_string(kind, base64.b64decode(blob)))


def fingerprint(blob: bytes) -> str:
    """The SHA256 fingerprint that ``ssh-keygen -l`` prints."""
    digest = base64.b64encode(hashlib.sha256(blob).digest()).rstrip(b"=").decode()
    return f"SHA256:{digest}"


def _credentials(host: HostOutput, private_key: str | None) -> dict[str, Any]:
    nothing = {"look_for_keys": False, "allow_agent": False, **_PATIENCE}
    if host.identity_file:
        return nothing | {"key_filename": str(Path(host.identity_file).expanduser())}
    if private_key:
        return nothing | {"pkey": _parse_key(host, private_key)}
    return {"look_for_keys": False, "allow_agent": True, **_PATIENCE}


def _parse_key(host: HostOutput, text: str) -> paramiko.PKey:
    for kind in (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey):
        with suppress(paramiko.SSHException):
            return kind.from_private_key(io.StringIO(text))
    raise RemoteError(
        f"The private key of the stack for {host.name} is of no kind that is known.",
        "Use an Ed25519, ECDSA or RSA key.",
        host=host.name,
    )


def _ssh_trouble(where: str, host: HostOutput, error: paramiko.SSHException) -> RemoteError:
    if "not found in known_hosts" in str(error):
        return _other_key(where, host, None)
    return RemoteError(
        f"{where} does not speak SSH as expected: {error}.",
        "Check address and port of the stack.",
        host=host.name,
    )


def _other_key(where: str, host: HostOutput, shown: paramiko.PKey | None) -> HostKeyError:
    pinned = ", ".join(fingerprint(base64.b64decode(k.split()[1])) for k in host.host_keys)
    seen = fingerprint(shown.asbytes()) if shown else "a key of another type"
    return HostKeyError(
        f"{where} shows the host key {seen}; pinned is {pinned}. Nothing was sent.",
        "If the machine was replaced, run `pulumi up`; otherwise somebody may be in between.",
        host=host.name,
    )


def _reason(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {CONNECT_TIMEOUT_S:.0f} s"
    if isinstance(error, EOFError):
        return "the connection was closed"
    inner = getattr(error, "errors", None)  # paramiko's NoValidConnectionsError
    if inner:
        error = next(iter(inner.values()))
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).lower()


def _timed_out(name: str, timeout_s: float | None) -> RemoteError:
    return RemoteError(
        f"A command on {name} took longer than {timeout_s:.0f} s.", "Try again.", host=name
    )


def _feed(channel: paramiko.Channel, stdin: bytes) -> None:
    try:
        if stdin:
            channel.sendall(stdin)
        channel.shutdown_write()
    except (OSError, EOFError, paramiko.SSHException):
        return  # the reading side tells what broke


def _read_both(channel: paramiko.Channel, timeout_s: float | None) -> tuple[bytes, bytes]:
    """Both streams to their end; stderr in a thread, as either may fill its window."""
    errors: list[bytes] = []
    channel.settimeout(timeout_s)
    reader = threading.Thread(target=_gather, args=(channel.recv_stderr, errors), daemon=True)
    reader.start()
    out = b"".join(_blocks(channel.recv))
    reader.join(timeout_s)
    return out, b"".join(errors)


def _gather(recv: Callable[[int], bytes], into: list[bytes]) -> None:
    with suppress(TimeoutError):  # standard output's reader tells it
        into.extend(_blocks(recv))


def _blocks(recv: Callable[[int], bytes]) -> Iterator[bytes]:
    try:
        while block := recv(_BLOCK):
            yield block
    except TimeoutError:
        raise
    except OSError:
        return


class _ChannelReader(io.RawIOBase):
    """Standard output of a channel; a connection that breaks is told from an end of file."""

    def __init__(self, channel: paramiko.Channel, broken: Callable[[], RemoteError]) -> None:
        self._channel = channel
        self._broken = broken
        channel.settimeout(DEAD_AFTER_S)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            block = self._channel.recv(len(buffer))
        except OSError as error:
            raise self._broken() from error
        ended = block or self._channel.status_event.wait(CONNECT_TIMEOUT_S)
        if not ended or (not block and self._channel.exit_status == -1):
            raise self._broken()
        buffer[: len(block)] = block
        return len(block)


def _environment() -> dict[str, str]:
    return {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}


def _text(data: bytes) -> str:
    return data.decode(errors="replace")
