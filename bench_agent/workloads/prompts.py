"""The prompts of a file, or of the recipe itself, in their order, again and again.

Options: ``path``: a ``.jsonl`` file of objects with ``prompt`` and, if it is not the workload's,
``output_len`` or ``max_tokens``; any other file is text, a prompt a line (``whole``: true makes
all of it one prompt). Or ``prompts``: a list of texts. ``cycle``: false ends after the last one.
All points send the same prompts; `input_len` says nothing.
"""

from __future__ import annotations

from typing import Any

from bench_agent.load.plan import Request
from bench_agent.protocol import Workload
from bench_agent.tokenizer import Tokenizer
from bench_agent.workloads import Made, Options, WorkloadError, load, objects, refusal

#: A text, and its most tokens out.
Prompt = tuple[str, "int | None"]


def requests(workload: Workload, api: str, stream: str, tokens: Tokenizer | None = None) -> Made:  # noqa: ARG001 - the text is sent as it is, whatever the stream
    """Prompt `index`, from the first again after the last.

    Raises:
        WorkloadError: a bad option, or a file without prompts.
    """
    options = Options(workload, "path", "prompts", "whole", "cycle")
    found = _prompts(workload, options)

    def make(index: int) -> Request:
        text, output_len = found[index % len(found)]
        return Request(text, output_len or workload.output_len)

    return Made(make, None if options.flag("cycle", True) else len(found))


def cache_hit_share(workload: Workload, template: int) -> None:
    """Not known: it is for the prompts to say what they have in common."""


def _prompts(workload: Workload, options: Options) -> list[Prompt]:
    given = workload.options.get("prompts")
    if (given is None) == ("path" not in workload.options):
        raise refusal("prompts", "give either prompts (a list of texts) or path (a file)")
    if given is not None:
        if not isinstance(given, list) or not given or not all(map(_is_text, given)):
            raise refusal("prompts", "must be a list of texts")
        return [(text, None) for text in given]
    path = options.path()
    if path.suffix == ".jsonl":
        return load(path, _parse_objects)
    return load(path, _parse_whole if options.flag("whole", False) else _parse_lines)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _parse_lines(text: str) -> list[Prompt]:
    return [(line, None) for line in text.splitlines() if line.strip()]


def _parse_whole(text: str) -> list[Prompt]:
    return [(text, None)] if text.strip() else []


def _parse_objects(text: str) -> list[Prompt]:
    return [_prompt(number, row) for number, row in objects(text)]


def _prompt(number: int, row: dict[str, Any]) -> Prompt:
    length = row.get("output_len", row.get("max_tokens"))
    if not _is_text(row.get("prompt")):
        raise WorkloadError(f", line {number}, has no text under prompt")
    if length is not None and (type(length) is not int or length < 1):
        raise WorkloadError(f", line {number}: output_len must be a whole number above 0")
    return row["prompt"], length
