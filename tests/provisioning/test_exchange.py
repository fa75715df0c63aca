"""Scripts of several commands, and their output taken apart."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provisioning import exchange
from provisioning.command import Command, Secret
from provisioning.facts.changing import Changing
from provisioning.host import Host
from provisioning.remote import Completed, LocalRemote

TEXT = st.text(st.characters(exclude_characters="\0\r", exclude_categories=["Cs"]), max_size=60)


def talk(script: str) -> Completed:
    done = subprocess.run(
        ["/bin/sh", "-c", exchange.SHELL], input=script.encode(), capture_output=True, check=False
    )
    return Completed(done.returncode, done.stdout.decode(), done.stderr.decode())


@settings(max_examples=20, deadline=None)  # each is a process
@given(TEXT, TEXT, st.integers(0, 255))
def test_what_each_command_said_comes_back_exactly(out: str, err: str, code: int) -> None:
    """Output is kept to the byte, newline at the end or not, with each exit code."""
    say = Command.shell('printf %s "$1"; printf %s "$2" >&2; exit "$3"', out, err, str(code))
    script = exchange.asking([say, Command("echo", "next")], "/w", "b0")
    expected = [Completed(code, out, err), Completed(0, "next\n", "")]
    assert expected == exchange.answers(talk(script), "b0")


@settings(max_examples=20, deadline=None)  # each is a process
@given(st.binary(min_size=1, max_size=300))
def test_standard_input_arrives_byte_by_byte(data: bytes) -> None:
    """Binary data, what looks like the end of it included, is what the command reads."""
    script = exchange.asking([Command("od", "-An", "-v", "-tx1", stdin=data)], "/w", "b0")
    (answer,) = exchange.answers(talk(script), "b0")
    assert data.hex() == "".join(answer.stdout.split())


def test_a_change_that_fails_stops_those_after_it(tmp_path: Path) -> None:
    """Commands after the first failure are not run, and each run one is audited."""
    commands = [
        Command("true"),
        Command.shell("exit 3", shown="fail\nhere"),
        Command("touch", f"{tmp_path}/x"),
    ]
    script = exchange.changing(commands, str(tmp_path), "b0", "me files.test")
    answers = exchange.answers(talk(script), "b0")
    assert [0, 3] == [answer.exit_code for answer in answers]
    assert not (tmp_path / "x").exists()
    lines = (tmp_path / "audit.log").read_text().splitlines()
    assert ["exit=0 me files.test: true", "exit=3 me files.test: fail here"] == [
        line.partition(" ")[2] for line in lines
    ]


def test_the_audit_log_is_for_us_alone(tmp_path: Path) -> None:
    """It names files and runs: mode 0600."""
    talk(exchange.changing([Command("true")], str(tmp_path), "b0", "me"))
    assert 0o600 == (tmp_path / "audit.log").stat().st_mode & 0o777


def test_a_script_that_arrives_in_part_runs_nothing(tmp_path: Path) -> None:
    """A connection that breaks while it is sent leaves the host as it was."""
    commands = [Command("touch", str(tmp_path / "x")), Command("true")]
    script = exchange.changing(commands, str(tmp_path), "b0", "me")
    talk(script[:-3])
    assert not (tmp_path / "x").exists()
    talk(script)
    assert (tmp_path / "x").exists()


def test_commands_know_the_working_folder() -> None:
    """It stands in $DYNO_WORKDIR, blanks and all."""
    script = exchange.asking([Command.shell('printf %s "$DYNO_WORKDIR"')], "/a b/c", "b0")
    assert ["/a b/c"] == [a.stdout for a in exchange.answers(talk(script), "b0")]


@pytest.mark.parametrize("noise", ["hello\n", "no newline at its end", "--b0 7\n", "\n--b0\n"])
def test_what_a_login_shell_says_of_its_own_is_dropped(noise: str) -> None:
    """A `.bashrc` or a profile prints before the script: it is no part of the first answer."""
    done = talk(exchange.asking([Command.shell("echo a; echo b >&2"), Command("true")], "/w", "b0"))
    noisy = Completed(0, noise + done.stdout, noise + done.stderr)
    expected = [Completed(0, "a\n", "b\n"), Completed(0, "", "")]
    assert expected == exchange.answers(noisy, "b0")


def test_what_sudo_says_of_its_own_is_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lecture, or what its session prints."""
    sudo_on_path(tmp_path, monkeypatch, 'echo lecture; echo lecture >&2; shift; exec "$@"')
    commands = [Command("echo", "plain"), Command("echo", "root", sudo=True)]
    answers = exchange.answers(talk(exchange.asking(commands, "/w", "b0")), "b0")
    assert [Completed(0, "plain\n", ""), Completed(0, "root\n", "")] == answers


def test_secret_environment_stands_in_no_argument_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command has it; no process has it in its arguments, however short, nor the next one."""
    (tmp_path / "env").write_text(
        f'#!/bin/sh\necho "$*" >>{tmp_path}/args\nexec /usr/bin/env "$@"\n'
    )
    (tmp_path / "env").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    seen = 'printf %s "$KEY"; cat /proc/[0-9]*/cmdline 2>/dev/null | tr "\\0" " " >&2; cat'
    secret = Secret("s3cr3t it's-0123")
    command = Command.shell(seen, env={"A": "b"}, secret_env={"KEY": secret}, stdin="-in")
    after = Command.shell('printf %s "${KEY-none}"')
    first, second = exchange.answers(talk(exchange.asking([command, after], "/w", "b0")), "b0")
    assert (f"{secret.reveal()}-in", "none") == (first.stdout, second.stdout)
    assert ("tr", False) == (("tr" if "tr " in first.stderr else ""), "0123" in first.stderr)
    assert (True, False) == tuple(t in (tmp_path / "args").read_text() for t in ("A=b", "0123"))
    assert command.redact(f"x {secret.reveal()}") == "x [REDACTED]"


def sudo_on_path(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """A `sudo`, for a user who is not root."""
    for name, text in (("sudo", script), ("id", "echo 1000")):
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


def test_questions_to_root_share_one_sudo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each call costs: all are asked in one, and know the folder and the language, too."""
    sudo_on_path(tmp_path, monkeypatch, f'echo called >>{tmp_path}/calls; shift; exec "$@"')
    root = Command.shell('printf "$1 $DYNO_WORKDIR $LC_ALL"', "x", sudo=True)
    commands = [Command("echo", "plain"), root, Command("cat", sudo=True, stdin=b"\0in")]
    answers = exchange.answers(talk(exchange.asking(commands, "/w", "b0")), "b0")
    assert ["plain\n", "x /w C", "\0in"] == [answer.stdout for answer in answers]
    assert "called\n" == (tmp_path / "calls").read_text()


def test_without_sudo_plain_questions_are_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what sudo said stands after them."""
    sudo_on_path(tmp_path, monkeypatch, "echo sudo: a password is required >&2; exit 1")
    commands = [Command("echo", "plain"), Command("id", sudo=True)]
    done = talk(exchange.asking(commands, "/w", "b0"))
    assert ["plain\n"] == [answer.stdout for answer in exchange.answers(done, "b0")]
    assert "sudo: a password is required\n" in done.stderr


@pytest.mark.skipif(os.getuid() != 0, reason="for root")
def test_root_needs_no_sudo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a person logs in as root there may be none."""
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    (tmp_path / "sudo").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "sudo").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    change = exchange.changing([Command("echo", "x", sudo=True)], "/w", "b0", "me")
    ask = exchange.asking([Command("echo", "y", sudo=True)], "/w", "b0")
    said = [exchange.answers(talk(script), "b0")[0].stdout for script in (change, ask)]
    assert ["x\n", "y\n"] == said


def test_a_beating_script_says_something_and_ends_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beats between the lines are no output; errors stand in it; nothing lingers at its end."""
    monkeypatch.setattr(exchange, "_BEAT_S", 0.05)
    commands = [Command.shell("echo a; echo b >&2; sleep 0.3; printf c"), Command("false")]
    script = exchange.changing(commands, str(tmp_path), "b0", "me", beating=True)
    monkeypatch.setattr(exchange, "_BEAT_S", 60)
    begun = time.monotonic()
    done = talk(script)
    beats = done.stdout.count("--b0 beat")
    plain = Completed(0, done.stdout.replace(exchange.beat("b0").decode(), ""), "")
    assert [Completed(0, "a\nb\nc", ""), Completed(1, "", "")] == exchange.answers(plain, "b0")
    assert beats >= 3
    slow = exchange.changing([Command("true")], str(tmp_path), "b0", "me", beating=True)
    talk(slow)
    assert time.monotonic() - begun < 20


def test_a_fence_lets_the_owner_alone_pass(tmp_path: Path) -> None:
    """Ours: changed. Another's, or nobody's any more: nothing is run, and that is told."""
    touch = [Command("touch", f"{tmp_path}/x")]
    script = exchange.changing(touch, str(tmp_path), "b0", "me", "run-1")
    (tmp_path / "lock").mkdir()
    owner = tmp_path / "lock" / "owner.json"
    owner.write_text('{"run_id": "run-2"}')
    refused = talk(script)
    assert ("taken", []) == (exchange.lost(refused, "b0"), exchange.answers(refused, "b0"))
    owner.unlink()
    refused = talk(script)
    assert ("gone", []) == (exchange.lost(refused, "b0"), exchange.answers(refused, "b0"))
    assert not (tmp_path / "x").exists()
    owner.write_text('{"run_id": "run-1"}')
    passed = talk(script)
    assert ("", 1) == (exchange.lost(passed, "b0"), len(exchange.answers(passed, "b0")))


def test_changes_are_seen_while_they_are_made_but_not_what_they_leave_running(
    tmp_path: Path,
) -> None:
    """The script's own life counts: who waits for it does not wait for a server it started."""
    command = Command.shell('sleep 30 >/dev/null 2>&1 & echo $!; cat "$1"', f"{tmp_path}/pipe")
    os.mkfifo(tmp_path / "pipe")
    script = exchange.changing([command], str(tmp_path), "b0", "me")
    with subprocess.Popen(
        ["/bin/sh", "-c", exchange.SHELL], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        process.stdin.write(script.encode())
        process.stdin.close()
        with (tmp_path / "pipe").open("w"):  # it is at work now
            assert changing(tmp_path)
        assert process.stdout is not None
        (answer,) = exchange.answers(Completed(0, process.stdout.read().decode(), ""), "b0")
        server = int(answer.stdout)
    try:
        assert not changing(tmp_path)
    finally:
        os.kill(server, signal.SIGKILL)


def changing(folder: Path) -> bool:
    """The fact, asked anew."""
    return Host(LocalRemote(folder), str(folder)).fact(Changing)
