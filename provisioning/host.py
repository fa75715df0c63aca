"""A host: asked for facts, changed by operations, in the fewest exchanges."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from provisioning import exchange
from provisioning.command import Command, Fact
from provisioning.errors import CommandError, HostError
from provisioning.remote import Completed, Remote

T = TypeVar("T")
P = ParamSpec("P")
Question = type[Fact[T]] | Fact[T]
FACTS_TIMEOUT_S = 120.0  # a hung driver must not hang `fab`


class Host:
    """One machine behind a `Remote`; `workdir` is our (absolute) folder on it.

    With `dry_run`, changes are not made but listed in `planned`. `who` stands in the audit log.
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
        self._known: dict[Fact[Any], Any] = {}

    @property
    def name(self) -> str:
        """The host's name, for messages."""
        return self.remote.name

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
            CommandError: the command of one of them failed.
        """
        facts = [f for f in dict.fromkeys(map(_instance, questions)) if f not in self._known]
        if not facts:
            return
        commands = [fact.command for fact in facts]
        boundary = secrets.token_hex(16)
        script = exchange.asking(commands, self.workdir, boundary)
        answers = self._send(script, commands, boundary, FACTS_TIMEOUT_S)
        for fact, answer in zip(facts, answers, strict=True):
            self._known[fact] = self._answer(fact, answer)

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
        self._known = {fact: known for fact, known in self._known.items() if fact.lasting}
        boundary = secrets.token_hex(16)
        script = exchange.changing(commands, self.workdir, boundary, f"{self.who} {label}")
        answers = self._send(script, commands, boundary, timeout_s)
        for command, answer in zip(commands, answers, strict=False):
            self._check(command, answer)
        return tuple(answers)

    def ask(self, command: Command, timeout_s: float | None = FACTS_TIMEOUT_S) -> Completed:
        """Run a command that changes nothing, whatever it ends with: one exchange, no cache."""
        boundary = secrets.token_hex(16)
        script = exchange.asking([command], self.workdir, boundary)
        return self._send(script, [command], boundary, timeout_s)[0]

    def _send(
        self, script: str, commands: Sequence[Command], boundary: str, timeout_s: float | None
    ) -> list[Completed]:
        completed = self.remote.run(exchange.SHELL, stdin=script.encode(), timeout_s=timeout_s)
        answers = exchange.answers(completed, boundary)
        stopped = bool(answers) and answers[-1].exit_code != 0
        if len(answers) < len(commands) and not stopped:
            raise self._failed(
                commands[len(answers)],
                completed,
                "The exchange broke off: check that the user's login shell is a POSIX shell.",
            )
        return answers

    def _check(self, command: Command, answer: Completed) -> None:
        if answer.exit_code != 0:
            raise self._failed(command, answer)

    def _failed(self, command: Command, answer: Completed, advice: str = "") -> CommandError:
        return CommandError(
            str(command),
            answer.exit_code,
            command.redact(answer.stdout),
            command.redact(answer.stderr),
            advice=advice,
            host=self.name,
        )

    def _answer(self, fact: Fact[T], answer: Completed) -> T:
        if answer.exit_code in fact.missing_codes and hasattr(fact, "when_missing"):
            return fact.when_missing
        self._check(fact.command, answer)
        return fact.parse(answer.stdout)


def _instance(question: Question[T]) -> Fact[T]:
    return question() if isinstance(question, type) else question
