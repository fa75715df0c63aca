"""What is said to a host: commands, the secrets that never stand in them, and facts.

All shell quoting happens here (and, for templates, in `render`, which uses `quote`).
"""

from __future__ import annotations

import re
import shlex
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, NoReturn, TypeVar
from urllib.parse import unquote

T = TypeVar("T")

REDACTED = "[REDACTED]"
_WORD = re.compile(r"[^\s='\"]{8,}")
_PASSWORD = re.compile(r"://[^/@\s:]*:([^/@\s]+)@")  # of a URL


class Secret:
    """Text that prints as ``[REDACTED]`` and reaches a host only by standard input.

    It is no `str`, cannot be pickled or deep-copied (so `dataclasses.asdict` refuses it), and
    `Command` refuses it as an argument.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the text itself. Only what writes it to a file of mode 0600 asks for it."""
        return self._value

    def redact(self, text: str) -> str:
        """Take the value, each longer word of it, and a URL's password, out of *text*."""
        passwords = _PASSWORD.findall(self._value)
        words = {self._value, *_WORD.findall(self._value), *passwords, *map(unquote, passwords)}
        for word in sorted(words - {""}, key=len, reverse=True):
            text = text.replace(word, REDACTED)
        return text

    def __repr__(self) -> str:
        return REDACTED

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is neither pickled nor copied")


def quote(*words: str) -> str:
    """Quote *words* for a POSIX shell and join them with blanks."""
    return " ".join(shlex.quote(word) for word in words)


#: Of what a failed command printed: what happened and what to do, or None if it cannot tell.
Explain = Callable[[str], tuple[str, str] | None]


@dataclass(frozen=True, init=False)
class Command:
    """One command for a host, as a value.

    `stdin` is what it reads there; `shown` is what errors and the audit log say instead of the
    argument list (for long scripts). A `Secret` may stand in `stdin` and in `secret_env` only:
    that is environment which is in no argument list, of commands without sudo. With `explain`, a
    failure that it knows becomes a `HostError` in its words; `timeout_s` is how long it may take.
    Lines ``dyno: …`` that a command of a deploy prints are told to whoever waits for it.
    """

    argv: tuple[str, ...]
    sudo: bool
    env: tuple[tuple[str, str], ...]
    stdin: bytes | Secret
    shown: str
    explain: Explain | None
    secret_env: tuple[tuple[str, Secret], ...]
    timeout_s: float | None

    def __init__(
        self,
        *argv: str,
        sudo: bool = False,
        env: Mapping[str, str] | None = None,
        stdin: str | bytes | Secret = b"",
        shown: str = "",
        explain: Explain | None = None,
        secret_env: Mapping[str, Secret] | None = None,
        timeout_s: float | None = None,
    ) -> None:
        if sudo and secret_env:
            raise ValueError("sudo hands over its argument list only")
        for word in (*argv, *(env or {}).values()):
            if not isinstance(word, str):
                raise TypeError(f"arguments are text, not {type(word).__name__}")
        values = {
            "argv": argv,
            "sudo": sudo,
            "env": tuple((env or {}).items()),
            "stdin": stdin.encode() if isinstance(stdin, str) else stdin,
            "shown": shown,
            "explain": explain,
            "secret_env": tuple((secret_env or {}).items()),
            "timeout_s": timeout_s,
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @classmethod
    def shell(cls, script: str, *args: str, **options: Any) -> Command:
        """Make a command of a raw shell script; *args* are its ``$1``, ``$2`` and so on."""
        return cls("sh", "-c", script, "sh", *args, **options)

    def line(self, *, root: bool = False) -> str:
        """The command as one line for a POSIX shell, without its standard input.

        For a shell that is *root* already, without sudo.
        """
        env = ("env", *(f"{k}={v}" for k, v in self.env)) if self.env else ()
        return quote(*(("sudo", "-n") if self.sudo and not root else ()), *env, *self.argv)

    def payload(self) -> bytes:
        """What it reads on standard input, secrets revealed."""
        return self.stdin.reveal().encode() if isinstance(self.stdin, Secret) else self.stdin

    def redact(self, text: str) -> str:
        """Take this command's own secrets out of *text* (its output, say)."""
        for secret in (self.stdin, *(value for _, value in self.secret_env)):
            text = secret.redact(text) if isinstance(secret, Secret) else text
        return text

    def __str__(self) -> str:
        return self.shown or self.line()


class Fact(ABC, Generic[T]):
    """One question to a host: a read-only command, and a pure parser of what it prints.

    `when_missing` is the answer when the command ends with one of `missing_codes` (127: not
    installed); without it that is an error. A `lasting` one is not asked again when operations
    have changed the host. A fact with arguments is a frozen dataclass.
    ``$DYNO_WORKDIR`` is the working folder, and the language is C.
    """

    when_missing: T
    missing_codes: tuple[int, ...] = (127,)
    lasting: bool = False

    @property
    @abstractmethod
    def command(self) -> Command:
        """What is run on the host."""

    @abstractmethod
    def parse(self, stdout: str) -> T:
        """Turn what the command printed into the answer."""

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash((type(self), *vars(self).values()))
