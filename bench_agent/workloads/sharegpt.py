"""Conversations of people with a model, in ShareGPT's JSON format.

The first turn is the prompt, the second says how many tokens come back. As in vLLM: prompts
and replies below 4 tokens, prompts above 1024 and sums above 2048 are left out.

Options: ``path``: ``[{"conversations": [{"from": …, "value": …}, …]}, …]``; ``conversations``:
how many of them a point has, in a drawn order, before they come again (default 1000);
``output_len``: instead of the second turn's; ``approximate``: true takes four characters for a
token where the server cannot count. `input_len` and `output_len` say nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from bench_agent.load.plan import Request
from bench_agent.protocol import Workload
from bench_agent.tokenizer import Tokenizer
from bench_agent.workloads import Made, Options, WorkloadError, json_of, load, refusal, shuffled


def requests(workload: Workload, api: str, stream: str, tokens: Tokenizer | None = None) -> Made:
    """Prompts as token ids for completions, as text for chat or without a tokenizer.

    Raises:
        WorkloadError: a bad option, no such file or format, no tokenizer, or all too short or long.
    """
    most = _options(workload).whole("conversations", 1000, low=1)
    approximate = _options(workload).flag("approximate", False)
    if tokens is None and not approximate:
        raise WorkloadError(
            "workload sharegpt: the server cannot count tokens, so lengths are not known. "
            "Set workload.options.approximate: true to take four characters for a token."
        )
    found = list(islice(_fitting(workload, api, stream, tokens), most))
    if not found:
        raise refusal("path", "no conversation in it is within the limits of length")
    return Made(lambda index: found[index % len(found)])


def check(workload: Workload, api: str) -> None:  # noqa: ARG001 - every workload's
    """The options, and that the file is there: it is large, and read when it is needed.

    Raises:
        WorkloadError: they are not right.
    """
    options = _options(workload)
    options.path()
    options.flag("approximate", False)
    options.whole("conversations", 1000, low=1)
    options.whole("output_len", 1, low=1)


def cache_hit_share(workload: Workload, template: int) -> None:
    """Not known: conversations begin as people begin them."""


def _options(workload: Workload) -> Options:
    return Options(workload, "path", "conversations", "output_len", "approximate")


def _fitting(
    workload: Workload, api: str, stream: str, tokens: Tokenizer | None
) -> Iterator[Request]:
    fixed = _options(workload).whole("output_len", 0) or None
    pairs = load(_options(workload).path(), _parse)
    for number in shuffled(f"{workload.seed}/{stream}", len(pairs)):
        text, reply = pairs[number]
        prompt: str | list[int] = text
        if tokens is None:
            length = len(text) // 4
        elif api == "chat":
            length = tokens.count_chat(text)
        else:
            prompt = tokens.encode(text)
            length = len(prompt)
        if not 4 <= length <= 1024:
            continue
        output_len = fixed or (len(tokens.encode(reply)) if tokens else len(reply) // 4)
        if (fixed or output_len >= 4) and length + output_len <= 2048:
            yield Request(prompt, output_len, length if tokens else None)


def _parse(text: str) -> list[tuple[str, str]]:
    data = json_of(text)
    if not isinstance(data, list):
        raise WorkloadError(" is no list of conversations")
    found = [pair for entry in data if (pair := _pair(entry))]
    if not found:
        raise WorkloadError(" holds no conversation of two turns")
    return found


def _pair(entry: Any) -> tuple[str, str] | None:
    match entry:
        case {"conversations": [{"value": str(first)}, {"value": str(second)}, *_]}:
            return first, second
    return None
