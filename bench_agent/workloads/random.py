"""Random prompts of an exact length: token ids for completions, words for chat.

Options: ``range_ratio`` r: lengths in and out are uniform between 1 - r and 1 + r of
`input_len` and `output_len`; ``prefix_len``: tokens that all prompts begin with, on top of
`input_len` (in chat the template's are among them); ``vocab``: ``[lowest, highest]`` token id,
default 1000 to 30000: above the special tokens and below the vocabulary of any model in use.
Without a tokenizer a chat prompt's word is taken for a token.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from bench_agent.load.plan import Request
from bench_agent.protocol import Workload
from bench_agent.tokenizer import Tokenizer, filler
from bench_agent.workloads import Made, Options, WorkloadError, draw, refusal

VOCAB = (1000, 30000)


class Writer:
    """Prompts of any length. `base`, `template`: what each has anyway, see `Filler`."""

    def __init__(self, workload: Workload, api: str, tokens: Tokenizer | None) -> None:
        low, high = _vocab(workload)
        self._pool: Sequence[int | str] = list(range(low, high + 1))
        self._start: str | None = None
        self.base = 0
        self.template: int | None = 0
        if api == "chat":
            words = filler(tokens)
            self._pool, self._start = words.words, words.start
            self.base, self.template = words.base, words.template

    def parts(self, key: str, count: int) -> list[int | str]:
        """Drawn ids or words."""
        pool, size = self._pool, len(self._pool)
        return [pool[number % size] for number in draw(key, count)]

    def shared(self, key: str, length: int) -> list[int | str]:
        """What prompts have in common that share their first *length* tokens."""
        return self.parts(key, max(0, length - self.base))

    def request(
        self,
        key: str,
        length: int,
        max_tokens: int,
        shared: Sequence[int | str] = (),
        due_s: float | None = None,
    ) -> Request:
        """A request of *length* prompt tokens; of `base` tokens if that is more."""
        count = max(0, length - self.base - len(shared))
        parts = self.parts(key, count)
        if shared:
            parts = [*shared, *parts]
        prompt = parts if self._start is None else " ".join([self._start, *parts])  # type: ignore[list-item] # words
        known = None if self.template is None else self.base + len(parts)
        return Request(prompt, max_tokens, known, due_s)  # type: ignore[arg-type] # ids


def requests(workload: Workload, api: str, stream: str, tokens: Tokenizer | None = None) -> Made:
    """Prompts of `workload.input_len` tokens and the prefix.

    Raises:
        WorkloadError: a length that cannot be, an unknown option or an empty range of ids.
    """
    options = Options(workload, "vocab", "range_ratio", "prefix_len")
    ratio, prefix_len = options.number("range_ratio", 0.0), options.whole("prefix_len", 0)
    if ratio > 1:
        raise refusal("range_ratio", "must be between 0 and 1")
    low, high = _range(workload.input_len, ratio)
    out_low, out_high = _range(workload.output_len, ratio)
    writer = Writer(workload, api, tokens)
    need(workload.input_len, 1)
    need(low + prefix_len, writer.base)
    shared = writer.shared(f"{workload.seed}/prefix", prefix_len)
    key = f"{workload.seed}/{stream}"

    def make(index: int) -> Request:
        into, out = draw(f"{key}/{index}/lengths", 2) if ratio else (0, 0)
        length = prefix_len + low + into % (high - low + 1)
        output_len = out_low + out % (out_high - out_low + 1)
        return writer.request(f"{key}/{index}", length, output_len, shared)

    return Made(make, template=writer.template)


def cache_hit_share(workload: Workload, template: int) -> float:
    """The prefix's share, or the template's."""
    prefix = Options(workload, *workload.options).whole("prefix_len", 0)
    return max(prefix, template) / (prefix + workload.input_len)


def need(length: int, least: int) -> None:
    """Refuse prompts shorter than *least* tokens.

    Raises:
        WorkloadError: *length* is below it.
    """
    if length < least:
        raise WorkloadError(
            f"workload.input_len: {length} tokens are too few; "
            f"must be at least {least} in all (the server's chat template included)."
        )


def _range(length: int, ratio: float) -> tuple[int, int]:
    low, high = math.floor(length * (1 - ratio)), math.ceil(length * (1 + ratio))
    return max(1, low), max(1, high)


def _vocab(workload: Workload) -> tuple[int, int]:
    found = workload.options.get("vocab", VOCAB)
    if (
        not isinstance(found, (list, tuple))
        or len(found) != 2
        or not all(type(v) is int for v in found)
        or not 0 <= found[0] < found[1]
    ):
        raise refusal("vocab", "must be [lowest, highest] token id")
    return found[0], found[1]
