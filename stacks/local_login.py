"""Who may log in to a local host, and what their commands run in (asyncssh)."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import pwd
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

import asyncssh

from stacks import local_process as processes
from stacks.local_session import Session

_PASSED_ON = ("PATH", "LANG")


class Children:
    """The commands of all sessions: starts them in their own environment, reaps all that ends."""

    def __init__(self, work: Path, host_id: str) -> None:
        self.work = work
        self.shell = pwd.getpwuid(os.getuid()).pw_shell or "/bin/sh"
        self._environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        self._environment |= {
            "HOME": str(work),
            "TMPDIR": str(work / "tmp"),
            processes.MARKER: host_id,
        }
        self._ends: dict[int, asyncio.Future[int]] = {}
        asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, self._reap)

    def start(
        self, argv: Sequence[str], files: tuple[int, int, int], extra: dict[str, str]
    ) -> tuple[int, asyncio.Future[int]]:
        """Start *argv* as the leader of a session; returns its pid and, later, its exit code."""
        child = subprocess.Popen(
            argv,
            stdin=files[0],
            stdout=files[1],
            stderr=files[2],
            cwd=self.work,
            env={**self._environment, **extra},
            start_new_session=True,
        )
        end = asyncio.get_running_loop().create_future()
        self._ends[child.pid] = end
        child.returncode = 0  # reaped below, with the orphans: Popen has no part in it any more
        return child.pid, end

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            end = self._ends.pop(pid, None)
            if end is not None:
                end.set_result(os.waitstatus_to_exitcode(status))


class Login(asyncssh.SSHServer):
    """One user, one key; no password, no forwarding but to loopback."""

    def __init__(self, user: str, key: asyncssh.SSHKey, children: Children) -> None:
        self._user = user
        self._key = key
        self._children = children

    def begin_auth(self, _username: str) -> bool:
        """Everybody has to show the key."""
        return True

    def public_key_auth_supported(self) -> bool:
        """The only way in."""
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        """That user with that key."""
        return username == self._user and key == self._key

    def session_requested(self) -> Session:
        """A command or a shell."""
        return Session(self._children)

    def connection_requested(
        self, dest_host: str, _dest_port: int, _orig_host: str, _orig_port: int
    ) -> bool:
        """TCP forwarding, to this machine's own loopback addresses only."""
        if not is_loopback(dest_host):
            raise asyncssh.ChannelOpenError(
                asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED, "loopback addresses only"
            )
        return True


def is_loopback(host: str) -> bool:
    """Whether *host* names this machine's loopback, without asking any resolver."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


async def listen(
    address: str, port: int, children: Children, *, user: str, authorized_key: str, host_key: str
) -> asyncssh.SSHAcceptor:
    """Start to listen; port 0 lets the system pick one.

    Raises:
        OSError: the port is in use.
    """
    key = asyncssh.import_public_key(authorized_key)
    return await asyncssh.create_server(
        lambda: Login(user, key, children),
        address,
        port,
        server_host_keys=[asyncssh.import_private_key(host_key)],
        encoding=None,
        line_editor=False,
        agent_forwarding=False,
        x11_forwarding=False,
        gss_host=None,
        password_auth=False,
        kbdint_auth=False,
        config=None,
        compression_algs=None,
        keepalive_interval=30,
        login_timeout=30,
    )
