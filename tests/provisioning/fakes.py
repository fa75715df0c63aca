"""Hosts for unit tests: answers given beforehand, commands kept instead of run."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import IO, Any

from provisioning.command import Command, Fact
from provisioning.host import Host
from provisioning.remote import Completed


class NoRemote:
    """A remote that must not be spoken to."""

    name = "fake-host"
    exchanges = 0

    def run(self, command: str, *, stdin: bytes = b"", timeout_s: float | None = None) -> Completed:
        raise AssertionError(f"an exchange that was not expected: {stdin.decode()}")

    def stream(self, command: str, *, stdin: bytes = b"") -> AbstractContextManager[IO[bytes]]:
        raise AssertionError("a stream that was not expected")

    def close(self) -> None:
        """Nothing is held."""


class ScriptedRemote(NoRemote):
    """Answers whatever is asked with one `Completed`; ``{b}`` in it is the exchange's boundary."""

    def __init__(self, exit_code: int, stdout: str, stderr: str = "") -> None:
        self._answer = (exit_code, stdout, stderr)
        self.exchanges = 0

    def run(self, command: str, *, stdin: bytes = b"", timeout_s: float | None = None) -> Completed:
        self.exchanges += 1
        boundary = stdin.decode().partition("'\\n--")[2].partition(" ")[0]
        code, out, err = self._answer
        return Completed(code, out.replace("{b}", boundary), err.replace("{b}", boundary))


class FakeHost(Host):
    """A host with known facts: by class name, or (facts with arguments) in `answers`."""

    def __init__(self, answers: Mapping[Fact[Any], Any] | None = None, **by_name: Any) -> None:
        super().__init__(NoRemote(), "/w")
        self._answers = dict(answers or {})
        self._by_name = by_name
        self.ran: list[Command] = []

    def fact(self, question: Any) -> Any:
        fact = question() if isinstance(question, type) else question
        if fact in self._answers:
            return self._answers[fact]
        return self._by_name[type(fact).__name__]

    def gather(self, *questions: Any) -> None:
        for question in questions:
            self.fact(question)

    def execute(
        self, *commands: Command, label: str, timeout_s: float | None = None
    ) -> tuple[Completed, ...]:
        self.ran += commands
        return tuple(Completed(0, "", "") for _ in commands)
