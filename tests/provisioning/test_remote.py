"""SSH and local remotes: streams, exit codes, pinned keys, broken connections."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncssh
import pytest

from provisioning.errors import HostKeyError, RemoteError
from provisioning.remote import LocalRemote, Remote, SshRemote
from tests.provisioning.sshd import Server, serve

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serve(tmp_path_factory.mktemp("sshd")) as running:
        yield running


@pytest.fixture
def ssh(server: Server) -> Iterator[SshRemote]:
    remote = SshRemote(server.output(), server.private_key)
    yield remote
    remote.close()


@pytest.fixture(params=["ssh", "local"])
def remote(request: pytest.FixtureRequest, ssh: SshRemote, tmp_path: Path) -> Remote:
    return ssh if request.param == "ssh" else LocalRemote(tmp_path)


def test_run_tells_both_streams_and_the_exit_code(remote: Remote) -> None:
    """A command's streams and exit code come back as they were."""
    done = remote.run("echo out; echo err >&2; exit 7")

    assert (7, "out\n", "err\n") == (done.exit_code, done.stdout, done.stderr)


def test_small_packets_do_not_wait_for_each_other(ssh: SshRemote) -> None:
    """Nagle's algorithm would cost every command 40 ms."""
    ssh.run("true")

    transport = ssh._connection.client.get_transport()

    assert 0 != transport.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_standard_input_arrives_whole(remote: Remote) -> None:
    """A megabyte of binary input arrives byte for byte."""
    data = bytes(range(256)) * 4096

    done = remote.run("sha256sum", stdin=data)

    import hashlib

    assert hashlib.sha256(data).hexdigest() == done.stdout.split()[0]


def test_much_output_on_both_streams_does_not_stall(remote: Remote) -> None:
    """Output larger than any window on both streams at once is read to its end."""
    done = remote.run("head -c 5000000 /dev/zero >&2; head -c 5000000 /dev/zero", timeout_s=30)

    assert (5_000_000, 5_000_000) == (len(done.stdout), len(done.stderr))


def test_stream_hands_out_lines_before_the_command_ends(remote: Remote) -> None:
    """The first line is there while the command still runs."""
    begun = time.monotonic()
    with remote.stream("echo first; sleep 20") as lines:
        first = lines.readline()

    assert (b"first\n", True) == (first, time.monotonic() - begun < 10)


def test_exchanges_are_counted(remote: Remote) -> None:
    """Every command is one exchange."""
    remote.run("true")
    with remote.stream("true") as lines:
        lines.read()

    assert 2 == remote.exchanges


def test_silence_beyond_the_time_out_is_told(remote: Remote) -> None:
    """A command that says nothing for too long is a RemoteError with the seconds in it."""
    with pytest.raises(RemoteError, match="longer than 1 s"):
        remote.run("sleep 20", timeout_s=1)


def test_another_host_key_is_refused_with_both_fingerprints(server: Server) -> None:
    """A changed host key ends the connection before anything is sent; both keys are named."""
    other = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()
    remote = SshRemote(server.output(host_keys=(other,)), server.private_key)

    with pytest.raises(HostKeyError) as refused:
        remote.run("true")

    assert (2, False) == (str(refused.value).count("SHA256:"), refused.value.retryable)


def test_an_unpinned_host_is_refused(server: Server) -> None:
    """Without a pinned key there is no connection: nothing is ever added."""
    remote = SshRemote(server.output(host_keys=()), server.private_key)

    with pytest.raises(HostKeyError):
        remote.run("true")


def test_a_key_that_is_not_allowed_is_named_as_that(server: Server) -> None:
    """A refused login names the user and says what to check."""
    key = asyncssh.generate_private_key("ssh-ed25519").export_private_key().decode()

    with pytest.raises(RemoteError, match="did not accept the key for user tester"):
        SshRemote(server.output(), key).run("true")


def test_a_closed_port_is_told_as_refused(server: Server) -> None:
    """A host that does not listen is 'cannot be reached: connection refused'."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    with pytest.raises(RemoteError, match="cannot be reached: connection refused"):
        SshRemote(server.output(port=port), server.private_key).run("true")


def _soon(server: Server) -> threading.Timer:
    timer = threading.Timer(0.5, server.wire.cut)
    timer.start()
    return timer


@pytest.mark.parametrize(
    "use",
    [
        lambda r: r.run("sleep 20"),
        lambda r: _read_all(r, "echo first; sleep 20"),
    ],
    ids=["run", "stream"],
)
def test_a_cut_connection_is_no_end_of_output(
    server: Server, ssh: SshRemote, use: Callable[[SshRemote], None]
) -> None:
    """A connection that breaks raises a retryable RemoteError instead of looking finished."""
    ssh.run("true")
    _soon(server)

    with pytest.raises(RemoteError, match="broke") as broken:
        use(ssh)

    assert broken.value.retryable


def test_after_a_cut_the_next_command_connects_anew(server: Server, ssh: SshRemote) -> None:
    """A remote survives the loss of its connection."""
    ssh.run("true")
    _soon(server)
    with pytest.raises(RemoteError):
        ssh.run("sleep 20")

    assert "again\n" == ssh.run("echo again").stdout


def _read_all(remote: SshRemote, command: str) -> None:
    with remote.stream(command) as lines:
        lines.read()


def test_this_machine_gives_no_credentials_to_what_it_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Commands here see an allow-list of our environment."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "planted")
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "planted")

    assert "planted" not in LocalRemote(tmp_path).run("env").stdout
