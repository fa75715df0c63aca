"""A host: asked for facts, changed by operations, in the fewest exchanges."""

from __future__ import annotations

import copy
import re
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Concatenate, ParamSpec, Self, TypeVar, cast

from provisioning import exchange
from provisioning.command import Command, Fact
from provisioning.errors import CommandError, DynoError, HostError
from provisioning.remote import Completed, Remote

T = TypeVar("T")
P = ParamSpec("P")
Question = type[Fact[T]] | Fact[T]
FACTS_TIMEOUT_S = 120.0  # a hung driver must not hang `fab`
_NO_ROOT = re.compile(
    r"^(?:.*: )?(sudo: .*(?:password is required|not found|must be owned|must have a tty"
    r"|no tty present).*|.*not allowed to execute.*|.*not in the sudoers file.*)$",
    re.MULTILINE,
)


class Host:
    """One machine behind a `Remote`; `workdir` is our (absolute) folder on it.

    With `dry_run`, changes are not made but listed in `planned`; those made stand in `ran`. `who`
    stands in the audit log. With `tell`, what commands say to a person is told while they run;
    with `fence`, nothing is changed while a run of another id has the host's lock.
    """

    def __init__(
        self, remote: Remote, workdir: str, *, dry_run: bool = False, who: str = "-"
    ) -> None:
        if not workdir.startswith("/"):
            raise HostError(
                f"The working folder {workdir!r} is no absolute path.",
                "Set the stack's workdir to a path that begins with /.",
                host=remote.name,
            )
        self.remote = remote
        self.workdir = workdir.rstrip("/") or "/"
        self.dry_run = dry_run
        self.who = who
        self.planned: list[Command] = []
        self.ran: list[Command] = []
        self.tell: Callable[[str], None] | None = None
        self.fence = ""
        self._known: dict[Fact[Any], Any] = {}

    @property
    def name(self) -> str:
        """The host's name, for messages."""
        return self.remote.name

    def fork(self, *, fresh: bool = False) -> Self:
        """The same host for a branch of work beside others: what it does is not known here.

        It knows the facts known here; of a *fresh* one only the lasting.
        """
        branch = copy.copy(self)
        branch.planned, branch.ran = [], []
        branch._known = self._lasting() if fresh else dict(self._known)  # noqa: SLF001 - its own
        return branch

    def path(self, *parts: str) -> str:
        """Return a path below the working folder."""
        return "/".join((self.workdir, *parts))

    def fact(self, question: Question[T]) -> T:
        """Return the answer to *question*: from the cache, or in one exchange.

        Raises:
            CommandError: the fact's command failed.
        """
        fact = _instance(question)
        self.gather(fact)
        return cast("T", self._known[fact])

    def gather(self, *questions: Question[Any]) -> None:
        """Ask all *questions* that are not answered yet in one exchange (none if none are).

        Raises:
            CommandError: the command of one of them failed; what the others said is known then.
            HostError: what one of them printed cannot be understood; likewise.
        """
        facts = [f for f in dict.fromkeys(map(_instance, questions)) if f not in self._known]
        if not facts:
            return
        facts.sort(key=lambda fact: fact.command.sudo)  # they share one call of sudo
        # Two facts may read the answer to one command.
        asked = [(fact, fact.command) for fact in facts]
        commands = list(dict.fromkeys(command for _, command in asked))
        boundary = secrets.token_hex(16)
        script = exchange.asking(commands, self.workdir, boundary)
        sent = self._sent(script, boundary, FACTS_TIMEOUT_S)
        answers = exchange.answers(sent, boundary)
        heard = dict(zip(commands, answers, strict=False))
        trouble = [self._learnt(f, heard[command]) for f, command in asked if command in heard]
        self._require_whole(commands, answers, sent, boundary)
        for error in filter(None, trouble):
            raise error

    def forget(self, *questions: Question[Any]) -> None:
        """Ask *questions* anew when they are asked next; without any, all but lasting ones."""
        if not questions:
            self._known = self._lasting()
        for question in questions:
            self._known.pop(_instance(question), None)

    def apply(
        self,
        operation: Callable[Concatenate[Host, P], Iterator[Command]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> bool:
        """Bring about what *operation* describes; True if anything changed (or would).

        Its facts are those from before its first command: all its commands are collected, then
        run in one exchange.

        Raises:
            CommandError: a command failed; those after it were not run.
        """
        commands = list(operation(self, *args, **kwargs))
        module = getattr(operation, "__module__", "").rpartition(".")[2]
        self.execute(*commands, label=f"{module}.{getattr(operation, '__name__', 'operation')}")
        return bool(commands)

    def execute(
        self, *commands: Command, label: str, timeout_s: float | None = None
    ) -> tuple[Completed, ...]:
        """Run *commands*, which change the host, in one exchange; audit; forget the facts.

        Returns what each printed; nothing in a dry run.

        Raises:
            CommandError: a command failed; those after it were not run.
        """
        if self.dry_run or not commands:
            self.planned += commands
            return ()
        self._known = self._lasting()
        self.ran += commands
        limits = [command.timeout_s for command in commands if command.timeout_s is not None]
        if timeout_s is None and len(limits) == len(commands):
            timeout_s = sum(limits)
        boundary = secrets.token_hex(16)
        script = exchange.changing(
            commands,
            self.workdir,
            boundary,
            f"{self.who} {label}",
            self.fence,
            beating=self.tell is not None,
        )
        tell = self._redacting(commands) if self.tell else None
        answers = self._send(script, commands, boundary, timeout_s, tell)
        for command, answer in zip(commands, answers, strict=False):
            self._check(command, answer)
        return tuple(answers)

    def ask(self, command: Command, timeout_s: float | None = FACTS_TIMEOUT_S) -> Completed:
        """Run a command that changes nothing, whatever it ends with: one exchange, no cache."""
        boundary = secrets.token_hex(16)
        script = exchange.asking([command], self.workdir, boundary)
        return self._send(script, [command], boundary, timeout_s)[0]

    def _lasting(self) -> dict[Fact[Any], Any]:
        return {fact: known for fact, known in self._known.items() if fact.lasting}

    def _send(
        self,
        script: str,
        commands: Sequence[Command],
        boundary: str,
        timeout_s: float | None,
        tell: Callable[[str], None] | None = None,
    ) -> list[Completed]:
        sent = self._sent(script, boundary, timeout_s, tell)
        if why := exchange.lost(sent, boundary):
            raise _lost(self.name, why)
        answers = exchange.answers(sent, boundary)
        if not answers or answers[-1].exit_code == 0:
            self._require_whole(commands, answers, sent, boundary)
        return answers

    def _sent(
        self,
        script: str,
        boundary: str,
        timeout_s: float | None,
        tell: Callable[[str], None] | None = None,
    ) -> Completed:
        if tell is not None:
            return self._streamed(script, boundary, tell, timeout_s)
        return self.remote.run(exchange.SHELL, stdin=script.encode(), timeout_s=timeout_s)

    def _require_whole(
        self,
        commands: Sequence[Command],
        answers: Sequence[Completed],
        sent: Completed,
        boundary: str,
    ) -> None:
        if len(answers) < len(commands):
            said = exchange.said(sent, boundary)
            self._require_root(commands[len(answers)], said)
            raise self._failed(
                commands[len(answers)],
                said,
                "The exchange broke off: check that the user's login shell is a POSIX shell.",
            )

    def _redacting(self, commands: Sequence[Command]) -> Callable[[str], None]:
        def tell(text: str) -> None:
            for command in commands:
                text = command.redact(text)
            if self.tell is not None:
                self.tell(text)

        return tell

    def _streamed(
        self, script: str, boundary: str, tell: Callable[[str], None], timeout_s: float | None
    ) -> Completed:
        said, begun = bytearray(), time.monotonic()
        with self.remote.stream(exchange.SHELL, stdin=script.encode()) as lines:
            for line in lines:  # at every beat, at the latest
                if timeout_s is not None and time.monotonic() - begun > timeout_s:
                    raise _took_too_long(self.name, timeout_s)
                said += line
                if line.startswith(exchange.TELLS.encode()):
                    tell(line.decode(errors="replace").removeprefix(exchange.TELLS).strip())
        text = bytes(said).replace(exchange.beat(boundary), b"").decode(errors="replace")
        return Completed(0, text, "")

    def _check(self, command: Command, answer: Completed) -> None:
        if answer.exit_code == 0:
            return
        self._require_root(command, answer)
        said = command.redact(f"{answer.stdout}\n{answer.stderr}")
        if command.explain and (known := command.explain(said)):
            raise HostError(*known, host=self.name, log=said)
        raise self._failed(command, answer)

    def _require_root(self, command: Command, answer: Completed) -> None:
        said = _NO_ROOT.search(f"{answer.stderr}\n{answer.stdout}") if command.sudo else None
        if said:
            raise HostError(
                f"Our user may not become root on {self.name} ({said[1].rstrip('.').strip()}).",
                "Let it use sudo there without a password, or log in as root.",
                host=self.name,
            )

    def _failed(self, command: Command, answer: Completed, advice: str = "") -> CommandError:
        return CommandError(
            str(command),
            answer.exit_code,
            command.redact(answer.stdout),
            command.redact(answer.stderr),
            advice=advice,
            host=self.name,
        )

    def _learnt(self, fact: Fact[Any], answer: Completed) -> DynoError | None:
        try:
            self._known[fact] = self._answer(fact, answer)
        except DynoError as error:
            return error
        return None

    def _answer(self, fact: Fact[T], answer: Completed) -> T:
        if answer.exit_code in fact.missing_codes and hasattr(fact, "when_missing"):
            return fact.when_missing
        self._check(fact.command, answer)
        try:
            return fact.parse(answer.stdout)
        except DynoError:
            raise
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            raise _not_understood(self.name, fact, answer, error) from error


def _took_too_long(name: str, timeout_s: float) -> HostError:
    return HostError(
        f"A command on {name} did not end within {timeout_s:.0f} s.",
        "It may hang in the driver: look at it there (`dmesg`, `nvidia-smi`), or restart the host.",
        host=name,
    )


def _not_understood(name: str, fact: Fact[Any], answer: Completed, error: Exception) -> HostError:
    return HostError(
        f"{name} gives an answer that is not understood to `{fact.command}` "
        f"({type(error).__name__}: {error}).",
        "See what it prints there; a tool of another make or age may be in use.",
        host=name,
        log=answer.stdout,
    )


def _lost(name: str, why: str) -> HostError:
    if why == "gone":
        return HostError(
            f"The lock of {name} is gone: somebody removed it, or ran `fab stop`.",
            "Nothing more was changed; see who uses the host (`fab status`), and start again.",
            host=name,
        )
    return HostError(
        f"The lock of {name} was taken over by somebody else, for it was not renewed.",
        "Nothing more was changed; see who uses the host with `fab status`, then try again.",
        host=name,
    )


def _instance(question: Question[T]) -> Fact[T]:
    return question() if isinstance(question, type) else question
