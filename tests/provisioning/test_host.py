"""Facts in one exchange, operations that change only what is not so, errors with what was run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from provisioning.command import REDACTED, Command, Fact, Secret
from provisioning.errors import CommandError, HostError
from provisioning.host import Host
from provisioning.remote import LocalRemote
from tests.provisioning.fakes import NoRemote, ScriptedRemote


class Counter(Fact[int]):
    command = Command.shell('cat "$DYNO_WORKDIR/counter" 2>/dev/null || echo 0')

    def parse(self, stdout: str) -> int:
        return int(stdout)


class Boot(Fact[str]):
    lasting = True
    command = Command("echo", "boot")

    def parse(self, stdout: str) -> str:
        return stdout.strip()


class NotThere(Fact[tuple[str, ...]]):
    command = Command("no-such-program-at-all")
    when_missing = ()

    def parse(self, stdout: str) -> tuple[str, ...]:
        return (stdout,)


class Broken(NotThere):
    command = Command.shell("echo said >&2; exit 5", shown="ask")


def count_to(host: Host, number: int) -> Iterator[Command]:
    if host.fact(Counter) != number:
        yield Command.shell('echo "$1" >"$DYNO_WORKDIR/counter"', str(number), shown="count")


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(LocalRemote(tmp_path), str(tmp_path), who="me")


def test_many_facts_cost_one_exchange(host: Host) -> None:
    """All that are asked together, and asked again, are one exchange."""
    host.gather(Counter, Boot, NotThere, Counter())
    answers = (host.fact(Counter), host.fact(Boot()), host.fact(NotThere))
    assert ((0, "boot", ()), 1) == (answers, host.remote.exchanges)


def test_a_program_that_is_missing_is_an_answer(host: Host) -> None:
    """Exit 127 gives `when_missing`, where the fact has one."""
    assert () == host.fact(NotThere)


def test_a_fact_that_fails_is_an_error(host: Host) -> None:
    """Another exit code is not taken for an answer, and says what was run and said."""
    with pytest.raises(CommandError, match="ended with 5 on the host: ask") as caught:
        host.fact(Broken)
    assert ("said", "this machine") == (caught.value.stderr, caught.value.host)


def test_a_second_deploy_changes_nothing(host: Host) -> None:
    """What is so already yields no command, and no further exchange."""
    assert [True, False] == [host.apply(count_to, 3), host.apply(count_to, 3)]
    assert 3 == host.remote.exchanges  # asked, changed, asked again


def test_a_change_makes_facts_fresh_but_lasting_ones(host: Host) -> None:
    """After a change the counter is asked again; the boot is not."""
    host.gather(Counter, Boot)
    host.apply(count_to, 2)
    before = host.remote.exchanges
    assert ("boot", before) == (host.fact(Boot), host.remote.exchanges)
    assert (2, before + 1) == (host.fact(Counter), host.remote.exchanges)


def test_a_change_is_audited_with_who_and_what(host: Host, tmp_path: Path) -> None:
    """One line a command: time, exit, person, operation, command."""
    host.apply(count_to, 1)
    (line,) = (tmp_path / "audit.log").read_text().splitlines()
    assert "exit=0 me test_host.count_to: count" == line.partition(" ")[2]


def test_a_dry_run_changes_nothing_and_says_what_it_would(tmp_path: Path) -> None:
    """Facts are asked, commands are listed, the host stays as it was."""
    host = Host(LocalRemote(tmp_path), str(tmp_path), dry_run=True)
    assert host.apply(count_to, 4)
    assert (["count"], []) == ([str(c) for c in host.planned], list(tmp_path.iterdir()))


def test_a_failed_change_tells_no_secret(host: Host) -> None:
    """Argument list, output and error of a command that echoes its input are redacted."""
    leak = Command.shell("cat; cat /dev/null >&2; exit 1", stdin=Secret("hunter2-hunter2"))
    with pytest.raises(CommandError) as caught:
        host.execute(leak, label="test")
    told = f"{caught.value} {caught.value.log} {caught.value.stdout} {caught.value.argv}"
    assert (True, False) == (REDACTED in told, "hunter2" in told)


def test_asking_tells_an_exit_code(host: Host) -> None:
    """A plain question may end as it likes."""
    assert 7 == host.ask(Command.shell("exit 7")).exit_code


@pytest.mark.parametrize("stdout", ["", "one\n--{b} 0\n"])
def test_an_exchange_that_breaks_off_is_an_error(stdout: str) -> None:
    """Fewer answers than questions are never taken for a success."""
    host = Host(ScriptedRemote(2, stdout, "sh: syntax error"), "/w")
    with pytest.raises(CommandError, match="broke off"):
        host.gather(Counter, Boot)


def test_nothing_to_do_costs_nothing() -> None:
    """No command and no fact: no exchange."""
    host = Host(NoRemote(), "/w")
    host.gather()
    assert () == host.execute(label="nothing")


def test_a_relative_working_folder_is_refused() -> None:
    """Where it would be depends on who logs in how."""
    with pytest.raises(HostError, match="'w' is no absolute path"):
        Host(NoRemote(), "w")


def test_paths_lie_below_the_working_folder() -> None:
    """A slash at its end does not double."""
    assert "/w/agent/x" == Host(NoRemote(), "/w/").path("agent", "x")
