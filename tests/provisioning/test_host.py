"""Facts in one exchange, operations that change only what is not so, errors with what was run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from provisioning.command import REDACTED, Command, Fact, Secret
from provisioning.errors import CommandError, HostError, RemoteError
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


def test_what_two_facts_read_is_run_once(host: Host, tmp_path: Path) -> None:
    """One asks for lines, the other for their number: of the same command."""

    class Lines(Fact[list[str]]):
        command = Command.shell('echo run >>"$DYNO_WORKDIR/runs"; cat "$DYNO_WORKDIR/runs"')

        def parse(self, stdout: str) -> list[str]:
            return stdout.split()

    class Number(Fact[int]):
        command = Lines.command

        def parse(self, stdout: str) -> int:
            return len(stdout.split())

    host.gather(Lines, Number, Boot)
    assert (["run"], 1, "boot") == (host.fact(Lines), host.fact(Number), host.fact(Boot))
    assert "run\n" == (tmp_path / "runs").read_text()


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


class Odd(Fact[int]):
    command = Command("echo", "1M", shown="count")

    def parse(self, stdout: str) -> int:
        return int(stdout)


def test_an_answer_that_is_not_understood_is_an_error_of_the_host(host: Host) -> None:
    """With what was asked and said, and no traceback."""
    with pytest.raises(HostError, match=r"not understood to `count` .ValueError: .*1M") as caught:
        host.fact(Odd)
    assert ("1M", True) == (caught.value.log, bool(caught.value.advice))


def test_what_others_said_is_known_though_one_failed(host: Host) -> None:
    """Of the same exchange: what kind of a system it is may say why."""
    with pytest.raises(CommandError, match="ended with 5"):
        host.gather(Broken, Odd, Counter)
    assert (0, 1) == (host.fact(Counter), host.remote.exchanges)


def test_what_was_answered_is_known_though_root_was_refused() -> None:
    """Likewise."""
    said = "\n--{b}\nsudo: a password is required\n"
    host = Host(ScriptedRemote(0, "boot\n--{b} 0\n", said), "/w")
    with pytest.raises(HostError, match="may not become root"):
        host.gather(Root, Boot)
    assert ("boot", 1) == (host.fact(Boot), host.remote.exchanges)


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


class Root(Fact[str]):
    command = Command("echo", "root", sudo=True)

    def parse(self, stdout: str) -> str:
        return stdout.strip()


NO_SUDO = (
    "sudo: a password is required",
    "sh: 12: sudo: not found",
    "/bin/sh: line 4: sudo: command not found",
    "Sorry, user dyno is not allowed to execute '/bin/sh -s' as root on lab-1.",
    "dyno is not in the sudoers file.",
)


@pytest.mark.parametrize("said", NO_SUDO)
def test_a_question_that_only_root_may_ask_says_that_we_are_not(said: str) -> None:
    """One sentence in place of a command that failed, before anything was changed."""
    host = Host(ScriptedRemote(0, "boot\n--{b} 0\n", f"\n--{{b}}\n{said}\n"), "/w")
    with pytest.raises(HostError, match="may not become root on fake-host") as caught:
        host.gather(Root, Boot)
    assert said.rstrip(".")[-12:] in caught.value.what


@pytest.mark.parametrize("said", NO_SUDO)
def test_a_change_that_only_root_may_make_says_so_too(said: str) -> None:
    """The same sentence."""
    host = Host(ScriptedRemote(0, "\n--{b} 1\n", f"{said}\n\n--{{b}}\n"), "/w")
    with pytest.raises(HostError, match="may not become root"):
        host.execute(Command("true", sudo=True), label="test")


def test_what_a_program_says_of_sudo_is_not_taken_for_its_refusal() -> None:
    """A host that cannot resolve its own name makes sudo complain and go on."""
    said = "sudo: unable to resolve host lab-1: Name or service not known\nno such unit"
    host = Host(ScriptedRemote(0, "\n--{b} 5\n", f"{said}\n\n--{{b}}\n"), "/w")
    with pytest.raises(CommandError, match="ended with 5"):
        host.execute(Command("systemctl", "start", "x", sudo=True), label="test")


def test_a_failure_that_is_known_is_told_in_its_own_words(host: Host) -> None:
    """By what the command printed; the log is there, too."""
    known = Command.shell(
        "echo E: nope >&2; exit 9",
        explain=lambda said: ("There is no nope.", "Take yes.") if "nope" in said else None,
    )
    with pytest.raises(HostError) as caught:
        host.execute(known, label="test")
    assert ("There is no nope.", "Take yes.") == (caught.value.what, caught.value.advice)
    assert "E: nope" in caught.value.log


def test_a_failure_that_is_not_known_stays_what_it_is(host: Host) -> None:
    """The command, its end and its log."""
    with pytest.raises(CommandError, match="ended with 9"):
        host.execute(Command.shell("exit 9", explain=lambda _: None), label="test")


def test_what_commands_say_to_a_person_is_told_while_they_run(host: Host, tmp_path: Path) -> None:
    """Lines that begin with `dyno: `; the next command is not even begun then."""
    seen: list[tuple[str, bool]] = []
    host.tell = lambda text: seen.append((text, (tmp_path / "after").exists()))
    (first, _) = host.execute(
        Command.shell("echo dyno: hello; echo plain; echo error >&2; echo dyno: bye"),
        Command.shell('sleep 0.2; touch "$DYNO_WORKDIR/after"'),
        label="test",
    )
    assert [("hello", False), ("bye", False)] == seen
    assert "dyno: hello\nplain\nerror\ndyno: bye\n" == first.stdout


def test_a_failure_that_was_streamed_has_its_log(host: Host) -> None:
    """Standard error, too."""
    host.tell = lambda _: None
    with pytest.raises(CommandError) as caught:
        host.execute(Command.shell("echo out; echo why >&2; exit 3"), label="test")
    assert (3, "out\nwhy") == (caught.value.status, caught.value.log)


def test_nothing_is_changed_for_a_lock_that_another_has(host: Host, tmp_path: Path) -> None:
    """One that slept too long finds its lock taken over."""
    (tmp_path / "lock").mkdir()
    (tmp_path / "lock" / "owner.json").write_text('{"run_id": "theirs"}')
    host.fence = "ours"
    with pytest.raises(HostError, match="was taken over by somebody else"):
        host.execute(Command("touch", str(tmp_path / "x")), label="test")
    assert not (tmp_path / "x").exists()


def test_nothing_is_changed_for_a_lock_that_is_gone(host: Host, tmp_path: Path) -> None:
    """Somebody removed it, and may be at work."""
    host.fence = "ours"
    with pytest.raises(HostError, match="is gone: somebody removed it"):
        host.execute(Command("touch", str(tmp_path / "x")), label="test")
    assert not (tmp_path / "x").exists()


def test_what_is_told_holds_no_secret(host: Host) -> None:
    """While a command runs, too."""
    told: list[str] = []
    host.tell = told.append
    leak = Command.shell('echo "dyno: at $URL"', secret_env={"URL": Secret("http://a:b@c")})
    host.execute(leak, label="test")
    assert [f"at {REDACTED}"] == told


def test_commands_with_a_time_of_their_own_are_given_up(host: Host) -> None:
    """Without anybody saying so."""
    with pytest.raises(RemoteError, match="took longer than 0 s"):
        host.execute(Command("sleep", "60", timeout_s=0.2), label="test")


def test_a_branch_has_facts_of_its_own(host: Host) -> None:
    """What it changes makes its own facts fresh; the other's stay, and both know what was known."""
    host.gather(Counter, Boot)
    branch = host.fork()
    before = host.remote.exchanges
    assert (0, before) == (branch.fact(Counter), host.remote.exchanges)
    branch.apply(count_to, 5)
    assert (5, 0) == (branch.fact(Counter), host.fact(Counter))
    assert (["count"], []) == ([str(c) for c in branch.ran], host.ran)


def test_a_fresh_branch_asks_anew(host: Host) -> None:
    """But for what lasts."""
    host.gather(Counter, Boot)
    count = Host(host.remote, host.workdir)
    count.apply(count_to, 7)
    fresh = host.fork(fresh=True)
    assert (7, 0) == (fresh.fact(Counter), host.fact(Counter))
    before = host.remote.exchanges
    assert ("boot", before) == (fresh.fact(Boot), host.remote.exchanges)


def test_a_fact_can_be_forgotten(host: Host) -> None:
    """One, or all but those that last."""
    host.gather(Counter, Boot)
    Host(host.remote, host.workdir).apply(count_to, 1)
    host.forget(Counter)
    assert 1 == host.fact(Counter)
    Host(host.remote, host.workdir).apply(count_to, 2)
    host.forget()
    before = host.remote.exchanges
    assert (2, "boot") == (host.fact(Counter), host.fact(Boot))
    assert before + 1 == host.remote.exchanges


def test_a_command_that_hangs_is_given_up(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though the exchange gives signs of life: a driver may hang for ever."""
    monkeypatch.setattr("provisioning.exchange._BEAT_S", 1)
    host.tell = lambda _: None

    with pytest.raises(HostError, match="did not end within 1 s"):
        host.execute(Command("sleep", "60"), label="t", timeout_s=1.0)
