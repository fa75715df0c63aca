"""The SSH server of a local host, spoken to by other people's clients."""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import paramiko
import pytest

from stacks import local_host, local_process, local_server
from tests.stacks.hosts import USER, Running, connected, run, running, wait_for

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def on(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("hosts") / "h") as host:
        yield host


@pytest.fixture
def ssh(on: Running) -> Iterator[paramiko.Transport]:
    with connected(on.port, on.private_key) as transport:
        yield transport


def server_pid(on: Running) -> int:
    process = local_host.server(on.host.folder)
    assert process is not None
    return process.pid


def ends(pid: int) -> bool:
    return bool(wait_for(lambda: local_process.identify(pid) is None))


def test_the_key_and_user_of_the_host_are_let_in(on: Running, ssh: paramiko.Transport) -> None:
    """The host shows the key that was published, and runs what it is asked."""
    assert on.host_key.split()[1] == ssh.get_remote_server_key().get_base64()
    assert (0, b"hi\n") == run(ssh, "echo hi")


def test_another_key_is_refused(on: Running) -> None:
    """A key that was not made for this host opens nothing."""
    other, _ = local_host.key_pair()

    with pytest.raises(paramiko.AuthenticationException), connected(on.port, other):
        pass


@pytest.mark.parametrize("user", ["root", "nobody", "", USER.upper()])
def test_another_user_is_refused(on: Running, user: str) -> None:
    """The right key does not help a wrong name."""
    with pytest.raises(paramiko.SSHException), connected(on.port, on.private_key, user):
        pass


def test_a_password_is_refused(on: Running) -> None:
    """Keys are the only way in: the server does not even offer another."""
    for attempt in (lambda t: t.auth_password(USER, ""), lambda t: t.auth_none(USER)):
        transport = paramiko.Transport(("127.0.0.1", on.port))
        transport.start_client()
        try:
            with pytest.raises(paramiko.BadAuthenticationType) as caught:
                attempt(transport)
            assert ["publickey"] == caught.value.allowed_types
        finally:
            transport.close()


def test_it_listens_on_loopback_only(on: Running) -> None:
    """127.0.0.1 and no other address of this machine."""
    listening = subprocess.run(
        ["cat", f"/proc/{server_pid(on)}/net/tcp", f"/proc/{server_pid(on)}/net/tcp6"],
        capture_output=True, text=True, check=False,
    ).stdout  # fmt: skip
    rows = [line.split() for line in listening.splitlines() if f":{on.port:04X} " in line]

    assert {"0100007F"} == {row[1].split(":")[0] for row in rows if row[3] == "0A"}


def test_exit_codes_signals_and_both_streams_come_back(ssh: paramiko.Transport) -> None:
    """As sshd tells them."""
    with ssh.open_session() as channel:
        channel.exec_command("echo out; echo err >&2; exit 7")
        assert 7 == channel.recv_exit_status()
        assert (b"out\n", b"err\n") == (channel.recv(99), channel.recv_stderr(99))
    assert -1 == run(ssh, "kill -9 $$")[0]  # a signal, no exit code


def test_bytes_pass_unchanged_both_ways(ssh: paramiko.Transport) -> None:
    """Eight megabytes of noise, larger than any window."""
    noise = os.urandom(1 << 20) * 8

    code, output = run(ssh, "sha256sum", noise)

    assert (0, hashlib.sha256(noise).hexdigest()) == (code, output.decode().split()[0])
    assert (0, bytes(8 << 20)) == run(ssh, "head -c 8388608 /dev/zero")


def test_stdin_that_comes_with_the_command_is_not_lost(on: Running, tmp_path: Path) -> None:
    """OpenSSH sends input before the server has answered: bytes and end of file arrive."""
    if not shutil.which("ssh"):
        pytest.skip("no OpenSSH client on this machine")
    key = tmp_path / "key"
    key.touch(0o600)
    key.write_text(on.private_key)
    client = [
        "ssh", "-F", "none", "-i", str(key), "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes",
        "-o", f"UserKnownHostsFile={tmp_path / 'known'}", "-p", str(on.port), f"{USER}@127.0.0.1",
    ]  # fmt: skip
    (tmp_path / "known").write_text(f"[127.0.0.1]:{on.port} {on.host_key}\n")
    for text in ("abc", "", "x" * 3_000_000):
        done = subprocess.run(
            [*client, "cat"], input=text, capture_output=True, text=True, timeout=20, check=False
        )
        assert (0, text, "") == (done.returncode, done.stdout, done.stderr)


def test_a_slow_reader_does_not_fill_the_server(on: Running, ssh: paramiko.Transport) -> None:
    """A full channel stops the command: the server's memory stays small."""
    with ssh.open_session() as channel:
        channel.exec_command("head -c 400000000 /dev/zero")
        assert channel.recv(1)
        assert not wait_for(lambda: _resident_mib(server_pid(on)) > 200, 1.0)


def _resident_mib(pid: int) -> int:
    fields = Path(f"/proc/{pid}/statm").read_text().split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE") >> 20


def test_commands_see_an_allow_listed_environment(
    on: Running, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Home and temporary folder are the host's own; tokens and passphrases do not get in."""
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "hunter2")
    monkeypatch.setenv("HF_TOKEN", "hunter2")
    with running(tmp_path / "h") as fresh, connected(fresh.port, fresh.private_key) as ssh:
        lines = run(ssh, "env")[1].decode().splitlines()
        work = fresh.host.work
        pid = server_pid(fresh)
        server_environment = Path(f"/proc/{pid}/environ").read_text()
    seen = dict(line.split("=", 1) for line in lines)

    assert {"HOME", "TMPDIR", "PATH", "LLM_DYNO_HOST"} <= seen.keys()
    allowed = {"HOME", "TMPDIR", "PATH", "LLM_DYNO_HOST", "LANG", "PWD", "SHLVL", "_", "OLDPWD"}
    assert set() == seen.keys() - allowed
    assert (str(work), str(work / "tmp")) == (seen["HOME"], seen["TMPDIR"])
    assert "hunter2" not in server_environment


def test_no_key_is_to_be_seen(on: Running) -> None:
    """Neither in the server's arguments or environment, nor in any file of the folder."""
    proc = Path(f"/proc/{server_pid(on)}")
    secrets = [key.split("\n")[1] for key in (on.private_key, on.host.host_private_key)]
    files = [path for path in on.host.folder.rglob("*") if path.is_file()]
    texts = [path.read_bytes() for path in (proc / "cmdline", proc / "environ", *files)]

    assert len(files) >= 2
    assert not [key for key in secrets for text in texts if key.encode() in text]
    assert not [text for text in texts if b"PRIVATE" in text]


def test_nobody_else_can_look_into_the_folder(on: Running) -> None:
    """0700 all the way; another user of the machine gets nothing."""
    folders = (on.host.folder, on.host.work, on.host.work / "tmp")
    assert [0o700] * 3 == [path.stat().st_mode & 0o777 for path in folders]
    assert [0o600] * 2 == [
        (on.host.folder / name).stat().st_mode & 0o777 for name in ("host.json", "server.log")
    ]
    if os.getuid() == 0 and shutil.which("setpriv"):
        as_nobody = ["setpriv", "--reuid=65534", "--clear-groups"]
        done = subprocess.run(
            [*as_nobody, "ls", on.host.folder], capture_output=True, text=True, check=False
        )
        assert 0 != done.returncode
        assert "Permission denied" in done.stderr


def test_a_terminal_has_size_name_and_hangup(ssh: paramiko.Transport) -> None:
    """An interactive shell on a pty: size follows the client, `exit` ends it with its code."""
    with ssh.open_session() as channel:
        channel.get_pty("xterm", 90, 30)
        channel.invoke_shell()
        channel.sendall(b"stty size; echo $TERM; tty\r")
        assert _read_until(channel, b"/dev/pts/")
        channel.resize_pty(100, 40)
        channel.sendall(b"stty size; exit 5\r")
        text = _read_until(channel, b"40 100")
        assert text
        assert 5 == channel.recv_exit_status()


def _read_until(channel: paramiko.Channel, wanted: bytes) -> bytes:
    channel.settimeout(10)
    text = b""
    while wanted not in text and (more := channel.recv(4096)):
        text += more
    return text if wanted in text else b""


def test_a_shell_without_terminal_reads_stdin(ssh: paramiko.Transport) -> None:
    """A script on stdin is run."""
    with ssh.open_session() as channel:
        channel.invoke_shell()
        channel.sendall(b"echo $((6 * 7)); exit 3\n")
        channel.shutdown_write()
        assert 3 == channel.recv_exit_status()
        assert b"42\n" == channel.recv(99)


def test_a_missing_work_folder_is_said(tmp_path: Path) -> None:
    """A command that cannot start ends with 126 and a sentence."""
    with running(tmp_path / "h") as on, connected(on.port, on.private_key) as ssh:
        shutil.rmtree(on.host.work)
        with ssh.open_session() as channel:
            channel.exec_command("true")
            assert 126 == channel.recv_exit_status()
            assert b"No such file" in channel.recv_stderr(999)


def test_a_foreground_command_is_hung_up_with_its_channel(ssh: paramiko.Transport) -> None:
    """What was detached before lives on."""
    with ssh.open_session() as channel:
        channel.exec_command(
            # It says so itself, once it has detached: before that it may be hung up.
            "setsid sh -c 'echo detached $$; exec sleep 301 </dev/null >/dev/null 2>&1' &"
            "sleep 302 & echo foreground $!; wait"
        )
        text = b""
        while text.count(b"\n") < 2:
            text += channel.recv(99)
        words = text.decode().split()
        pids = dict(zip(words[::2], map(int, words[1::2]), strict=True))
        detached, foreground = pids["detached"], pids["foreground"]
    ssh.close()

    assert ends(foreground)
    assert local_process.identify(detached)
    os.kill(detached, signal.SIGKILL)
    assert ends(detached)


def test_the_hangup_is_a_hangup(on: Running, ssh: paramiko.Transport) -> None:
    """HUP, which a command may act on, before anything harsher."""
    with ssh.open_session() as channel:
        channel.exec_command(_on_signal("HUP", "open('hung', 'w'); sys.exit()", ignored="TERM"))
        assert b"go\n" == channel.recv(99)

    assert wait_for((on.host.work / "hung").exists)


def test_what_ignores_the_hangup_is_terminated(ssh: paramiko.Transport) -> None:
    """TERM follows after two seconds."""
    with ssh.open_session() as channel:
        channel.exec_command("trap '' HUP; echo $$; while :; do sleep 0.1; done")
        pid = int(channel.recv(99))

    assert ends(pid)


def test_a_signal_from_the_client_reaches_the_command(ssh: paramiko.Transport) -> None:
    """`signal` requests of the protocol are passed on."""
    with ssh.open_session() as channel:
        channel.exec_command(_on_signal("TERM", "sys.exit(9)", ignored="HUP"))
        assert b"go\n" == channel.recv(99)
        _request_signal(channel, "TERM")
        assert 9 == channel.recv_exit_status()


def _on_signal(name: str, action: str, *, ignored: str) -> str:
    """A command that does *action* on a signal (dash forgets a trap while it starts a child)."""
    code = (
        "import signal, sys, time\n"
        f"def act(*_): {action}\n"
        f"signal.signal(signal.SIG{ignored}, signal.SIG_IGN)\n"
        f"signal.signal(signal.SIG{name}, act)\n"
        "print('go', flush=True)\n"
        "while True: time.sleep(60)\n"
    )
    return shlex.join(["exec", sys.executable, "-c", code])


def _request_signal(channel: paramiko.Channel, name: str) -> None:
    message = paramiko.Message()
    message.add_byte(bytes([98]))  # SSH_MSG_CHANNEL_REQUEST
    message.add_int(channel.remote_chanid)
    message.add_string("signal")
    message.add_boolean(False)
    message.add_string(name)
    channel.transport._send_user_message(message)


def test_loopback_is_forwarded_and_nothing_else(ssh: paramiko.Transport) -> None:
    """A tunnel leads to this machine's loopback, to no other address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        target = listener.getsockname()
        with ssh.open_channel("direct-tcpip", target, ("127.0.0.1", 1)) as channel:
            channel.sendall(b"ping")
            served, _ = listener.accept()
            with served:
                assert b"ping" == served.recv(4)
    for host in ("192.0.2.1", "example.org", "0.0.0.0"):
        with pytest.raises(paramiko.ChannelException, match="rohibited"):
            ssh.open_channel("direct-tcpip", (host, 22), ("127.0.0.1", 1))


def test_nobody_may_listen_through_it(ssh: paramiko.Transport) -> None:
    """Forwarding from the host to the client is refused."""
    with pytest.raises(paramiko.SSHException, match="forwarding request denied"):
        ssh.request_port_forward("127.0.0.1", 0)


def test_it_ends_itself_at_expiry(tmp_path: Path) -> None:
    """Everything that was started under it ends first, the shy ones too."""
    with running(tmp_path / "h", lasts_s=2.5) as on:
        with connected(on.port, on.private_key) as ssh:
            shy = run(ssh, "env -i setsid sleep 303 </dev/null >/dev/null 2>&1 & echo $!")
        pids = [int(shy[1]), server_pid(on)]

        assert [True, True] == [ends(pid) for pid in pids]
        assert "off" == local_host.state(on.host.folder, on.host.host_id)


def test_it_ends_itself_without_its_folder(tmp_path: Path) -> None:
    """Somebody removed the folder by hand: no server stays behind."""
    with running(tmp_path / "h") as on:
        pid = server_pid(on)
        shutil.rmtree(on.host.folder)

        assert ends(pid)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"host_id": "another"}'])
def test_a_folder_of_another_host_is_not_its_own(tmp_path: Path, text: str) -> None:
    """Whose folder it is stands in host.json."""
    (tmp_path / "host.json").write_text(text)

    assert not local_server.is_own(tmp_path, "this")
