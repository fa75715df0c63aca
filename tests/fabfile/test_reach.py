"""OpenSSH gets the pinned key, the stack's key, and nothing else."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from fabfile import reach
from provisioning.errors import UsageError
from stacks.outputs import HostOutput, Price, StackOutputs


def _outputs(port: int = 2222, identity_file: str | None = None) -> StackOutputs:
    host = HostOutput(
        "vm", ("gpu",), "127.0.0.1", port, "me", ("ssh-ed25519 AAAA",), "/w",
        identity_file=identity_file,
    )  # fmt: skip
    price = Price(0.0, "owned", "own machine", "2026-11-21")
    return StackOutputs(
        1, "local", "me", "local", "", "", (host,), (), "PRIVATE KEY", price, "now", None, "r"
    )


def _options(lines: list[str]) -> dict[str, str]:
    return dict(line[2:].split("=", 1) for line in lines if line.startswith("-o"))


def test_only_the_pinned_host_key_is_known() -> None:
    """A known_hosts of its own, strictly checked, and never added to."""
    with reach._files(_outputs()) as lines:
        options = _options(lines)
        known = Path(options["UserKnownHostsFile"]).read_text()

    assert "[127.0.0.1]:2222 ssh-ed25519 AAAA\n" == known
    assert ("yes", "/dev/null", "no") == tuple(
        options[name]
        for name in ("StrictHostKeyChecking", "GlobalKnownHostsFile", "UpdateHostKeys")
    )


def test_the_private_key_is_for_us_alone_and_gone_afterwards() -> None:
    """Mode 0600 in a folder of mode 0700, removed with it."""
    with reach._files(_outputs()) as lines:
        key = Path(_options(lines)["IdentityFile"])
        modes = (key.stat().st_mode & 0o777, key.parent.stat().st_mode & 0o777)
        text = key.read_text()

    assert ((0o600, 0o700), "PRIVATE KEY\n", False) == (modes, text, key.parent.exists())


def test_a_key_file_of_the_users_own_is_used_where_it_lies() -> None:
    """Cloud `existing`: nothing is copied."""
    with reach._files(_outputs(identity_file="/home/me/.ssh/id")) as lines:
        assert "/home/me/.ssh/id" == _options(lines)["IdentityFile"]


def test_the_usual_port_has_no_brackets_in_known_hosts() -> None:
    """As OpenSSH writes it."""
    with reach._files(_outputs(port=22)) as lines:
        known = Path(_options(lines)["UserKnownHostsFile"]).read_text()

    assert "127.0.0.1 ssh-ed25519 AAAA\n" == known


@pytest.mark.parametrize("text", ["0", "65536", "-1", "http", "\uff18\uff10"])
def test_what_is_no_port_is_refused(text: str) -> None:
    """Named by its flag, before anything is asked."""
    with pytest.raises(UsageError, match="--remote-port is"):
        reach._port(text, "remote-port")


def test_a_port_in_use_here_is_told() -> None:
    """Before OpenSSH is started."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(UsageError, match="address already in use"):
            reach._require_free(taken.getsockname()[1])
