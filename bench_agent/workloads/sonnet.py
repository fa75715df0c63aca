"""Verse: prompts of lines, the first of which are the same in all of them.

Meant for `input_len` 550 and `output_len` 150. Options: ``prefix_len`` (default 200): tokens of
`input_len` that all prompts share; ``path``: a text file whose lines (the first 1024) are used
in place of those that the seed makes. Completions are token ids, cut to length; a chat prompt is
filled up with words of one token. Without a tokenizer both are text, a word taken for a token.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from bench_agent.load.plan import Request
from bench_agent.protocol import Workload
from bench_agent.tokenizer import WORDS, Filler, Tokenizer, filler
from bench_agent.workloads import Made, Options, WorkloadError, draw, load
from bench_agent.workloads.random import need

HEAD = "Go on with this poem in its own manner:\n"
_LINES, _MOST = 128, 1024
_FIRST = ["the", "a", "my", "your", "our", "no", "one", "each", "every", "this", "that", "some"]
_LINKS = ["of", "and", "or", "with", "for", "in", "from", "by", "like", "without"]
_ENDS = ("", ",", ";", ".")


def requests(workload: Workload, api: str, stream: str, tokens: Tokenizer | None = None) -> Made:
    """Prompts of `workload.input_len` tokens.

    Raises:
        WorkloadError: a bad option, no such file, or lengths that do not go together.
    """
    options = Options(workload, "prefix_len", "path")
    prefix_len = options.whole("prefix_len", 200)
    if prefix_len >= workload.input_len:
        raise WorkloadError(
            f"workload.input_len: must be more than the prefix of {prefix_len} tokens "
            "(550 is usual; workload.options.prefix_len is the other)."
        )
    given = load(options.path(), _parse) if "path" in workload.options else _verse(workload.seed)
    if api == "completions" and tokens is not None:
        return _ids(workload, stream, prefix_len, _encoded(tokens, given))
    words = filler(tokens, HEAD)
    need(workload.input_len, words.base)
    return _texts(workload, stream, prefix_len, words, given)


def cache_hit_share(workload: Workload, template: int) -> float:
    """The prefix's share, or the template's."""
    prefix_len = Options(workload, *workload.options).whole("prefix_len", 200)
    return max(prefix_len, template) / workload.input_len


def _ids(
    workload: Workload, stream: str, prefix_len: int, encoded: Sequence[Sequence[int]]
) -> Made:
    head, *lines = encoded

    def cut(key: str, length: int, begin: Sequence[int] = ()) -> list[int]:
        ids = list(begin)
        for number in draw(key, length):
            if len(ids) >= length:
                break
            ids += lines[number % len(lines)]
        return ids[:length]

    prefix = cut(f"{workload.seed}/prefix", prefix_len, head)
    rest = workload.input_len - prefix_len

    def make(index: int) -> Request:
        ids = prefix + cut(f"{workload.seed}/{stream}/{index}", rest)
        return Request(ids, workload.output_len, len(ids))

    return Made(make, template=0)


def _texts(
    workload: Workload, stream: str, prefix_len: int, words: Filler, given: Sequence[str]
) -> Made:
    lines, additive = _costs(words, given)

    def fit(key: str, room: int) -> tuple[str, int]:
        text = ""
        for number in draw(key, max(0, room)):
            line, cost = lines[number % len(lines)]
            if cost > room:
                break
            text, room = text + line, room - cost
        return text, room

    prefix, left = fit(f"{workload.seed}/prefix", prefix_len - words.base)
    room = workload.input_len - max(prefix_len, words.base) + max(0, left)
    known = workload.input_len if additive and words.template is not None else None

    def make(index: int) -> Request:
        key = f"{workload.seed}/{stream}/{index}"
        verse, left = fit(key, room)
        fill = [words.words[n % len(words.words)] for n in draw(f"{key}/fill", left)]
        prompt = HEAD + prefix + verse + " ".join([WORDS[0], *fill])
        return Request(prompt, workload.output_len, known)

    return Made(make, template=words.template)


@lru_cache(maxsize=1)
def _encoded(tokens: Tokenizer, lines: tuple[str, ...]) -> list[list[int]]:
    return [ids for line in (HEAD, *lines) if (ids := tokens.encode(line))]


@lru_cache(maxsize=1)
def _costs(words: Filler, lines: tuple[str, ...]) -> tuple[list[tuple[str, int]], bool]:
    """Lines and their tokens, and whether those of several lines are the sum of theirs."""
    found = [(line, max(1, words.cost(line))) for line in lines]
    some = found[:32]
    return found, words.cost("".join(line for line, _ in some)) == sum(cost for _, cost in some)


def _parse(text: str) -> tuple[str, ...]:
    return tuple(f"{line.strip()}\n" for line in text.splitlines() if line.strip())[:_MOST]


def _verse(seed: int) -> tuple[str, ...]:
    return tuple(_line(draw(f"{seed}/verse/{i}", 9)) for i in range(_LINES))


def _line(numbers: Sequence[int]) -> str:
    lists = (_FIRST, WORDS, _LINKS, _FIRST, WORDS, _LINKS, _FIRST, WORDS, _ENDS)
    *said, end = (each[n % len(each)] for each, n in zip(lists, numbers, strict=True))
    return " ".join(said).capitalize() + end + "\n"
