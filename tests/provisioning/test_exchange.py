"""Scripts of several commands, and their output taken apart."""

from __future__ import annotations

import subprocess
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from provisioning import exchange
from provisioning.command import Command
from provisioning.remote import Completed

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
