"""Named traffic shapes: one module each, found by its name.

A workload module has ``requests(workload, api, stream, tokens) -> Requests`` and
``cache_hit_share(workload, template) -> float | None``; its ``check(workload, api)``, if it has
one, stands in for making a first request. Request i of a stream depends on the seed, the stream,
i and what was tokenised at the start: the same on every host. They raise `WorkloadError`.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from bench_agent.load.plan import Request, Requests
from bench_agent.protocol import Workload
from bench_agent.tokenizer import Tokenizer, TokenizerError

T = TypeVar("T")


class WorkloadError(ValueError):
    """The workload is unknown, its numbers make no sense, or its file cannot be used."""


@dataclass
class Made:
    """Requests by index. `template`: tokens of the chat template; None: not known."""

    make: Callable[[int], Request]
    count: int | None = None
    template: int | None = None

    def __call__(self, index: int) -> Request:
        """Request *index*."""
        return self.make(index)


def requests(
    workload: Workload, api: str, stream: str, tokens: Tokenizer | None = None
) -> Requests:
    """The requests of one stream (a point's name, or the warm-up's); lengths as *tokens* counts.

    Raises:
        WorkloadError: no such workload, bad options, no file, or a tokenizer that does not count.
    """
    try:
        made: Requests = _module(workload).requests(workload, api, stream, tokens)
    except TokenizerError as error:
        raise WorkloadError(str(error)) from None
    return made


def check(workload: Workload, api: str) -> None:
    """Whatever can be told without a server.

    Raises:
        WorkloadError: the workload cannot be put on.
    """
    module = _module(workload)
    if hasattr(module, "check"):
        module.check(workload, api)
    else:
        module.requests(workload, api, "check", None)(0)


def cache_hit_share(workload: Workload, template: int | None = 0) -> float | None:
    """Largest share of the prompt tokens that is meant to come from the prefix cache.

    *template*: tokens that a chat template adds to each prompt (`Made.template`).
    None: not known, not to be judged.
    """
    if template is None:
        return None
    share: float | None = _module(workload).cache_hit_share(workload, template)
    return None if share is None else min(1.0, share)


def _module(workload: Workload) -> Any:
    word = workload.name.replace("-", "_")
    if not word.isidentifier() or word.startswith("_"):
        raise WorkloadError(f"workload.name: {workload.name!r} is no workload.")
    name = f"{__name__}.{word}"
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise WorkloadError(f"workload.name: there is no workload {workload.name!r}.") from None


class Options:
    """A workload's options, each named in the error when it is not what it has to be."""

    def __init__(self, workload: Workload, *known: str) -> None:
        self._values = workload.options
        if unknown := sorted(set(self._values) - set(known)):
            names = ", ".join(sorted(known)) or "none"
            raise WorkloadError(f"workload.options.{unknown[0]}: unknown option (known: {names}).")

    def whole(self, name: str, default: int, low: int = 0) -> int:
        """A whole number of at least *low*."""
        value = self._values.get(name, default)
        if type(value) is not int or value < low:
            raise refusal(name, f"must be a whole number of at least {low}")
        return value

    def number(self, name: str, default: float) -> float:
        """A number of at least 0."""
        value = self._values.get(name, default)
        if type(value) not in (int, float) or not 0 <= value < float("inf"):
            raise refusal(name, "must be a number of at least 0")
        return float(value)

    def flag(self, name: str, default: bool) -> bool:
        """Yes or no."""
        value = self._values.get(name, default)
        if type(value) is not bool:
            raise refusal(name, "must be true or false")
        return value

    def path(self) -> Path:
        """The file, as it lies on the machine that the load comes from."""
        value = self._values.get("path")
        if not isinstance(value, str) or not value:
            raise refusal("path", "must name a file on the machine that the load comes from")
        path = Path(value).expanduser()
        if not path.is_file():
            raise refusal(
                "path", f"there is no file {value} on the machine of the load; put it there"
            )
        return path


def refusal(option: str, what: str) -> WorkloadError:
    """The error about one option."""
    return WorkloadError(f"workload.options.{option}: {what}.")


def load(path: Path, parse: Callable[[str], T]) -> T:
    """What *parse* makes of a file's text; made once, unless the file changes."""
    stat = path.stat()
    return _load(path, parse, (stat.st_mtime_ns, stat.st_size))  # type: ignore[return-value] # lru_cache forgets T


@lru_cache(maxsize=2)
def _load(path: Path, parse: Callable[[str], object], _stamp: tuple[int, int]) -> object:
    try:
        found = parse(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise refusal("path", f"{path} cannot be read ({error})") from None
    except WorkloadError as error:
        raise refusal("path", f"{path}{error}") from None
    if not found:
        raise refusal("path", f"{path} is empty")
    return found


def json_of(text: str, line: int = 1) -> Any:
    """The value of a JSON text that begins at *line*.

    Raises:
        WorkloadError: it is none; the message goes on from the file's name.
    """
    try:
        return json.loads(text)
    except ValueError as error:
        at = line - 1 + getattr(error, "lineno", 1)
        raise WorkloadError(f", line {at}, is not JSON ({error})") from None


def objects(text: str) -> list[tuple[int, dict[str, Any]]]:
    """Line number and object of each line that is not empty.

    Raises:
        WorkloadError: a line is no JSON object; the message goes on from the file's name.
    """
    found = []
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            value = json_of(line, number)
            if not isinstance(value, dict):
                raise WorkloadError(f", line {number}, is no JSON object")
            found.append((number, value))
    return found


def draw(key: str, count: int) -> tuple[int, ...]:
    """*count* numbers of 32 bits. A hash as the source: equal in every Python there will be."""
    return struct.unpack(f"<{count}I", hashlib.shake_128(key.encode()).digest(4 * count))


def shuffled(key: str, count: int) -> list[int]:
    """0 to *count* - 1 in an order that *key* makes."""
    return sorted(range(count), key=draw(key, count).__getitem__)
