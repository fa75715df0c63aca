"""Random prompts of an exact length: token ids for completions, words for chat.

Options: ``vocab``: ``[lowest, highest]`` token id, default 1000 to 30000: above the special
tokens and below the vocabulary of any model in use.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable

from bench_agent.protocol import Workload
from bench_agent.workloads import Prompts, WorkloadError

VOCAB = (1000, 30000)
#: Short common words, one token each in the tokenizers in use.
_TEXT = (
    "time year people way day man thing woman life child world school state family student group "
    "country problem hand part place case week company system program question work government "
    "number night point home water room mother area money story fact month lot right study book "
    "eye job word business issue side kind head house service friend father power hour game line"
)
WORDS = _TEXT.split()


def prompts(workload: Workload, api: str, stream: str) -> Prompts:
    """Prompts of `workload.input_len` tokens.

    Raises:
        WorkloadError: a length below 1, an unknown option or an empty range of ids.
    """
    if workload.input_len < 1:
        raise WorkloadError("workload.input_len: must be at least 1.")
    if unknown := sorted(set(workload.options) - {"vocab"}):
        raise WorkloadError(f"workload.options.{unknown[0]}: unknown option (known: vocab).")
    low, high = _vocab(workload)
    length = workload.input_len
    draw = _draw(f"{workload.seed}/{stream}", length)

    def ids(index: int) -> list[int]:
        span = high - low + 1
        return [low + number % span for number in draw(index)]

    def words(index: int) -> str:
        return " ".join([WORDS[number % len(WORDS)] for number in draw(index)])

    return words if api == "chat" else ids


def _vocab(workload: Workload) -> tuple[int, int]:
    found = workload.options.get("vocab", VOCAB)
    if (
        not isinstance(found, (list, tuple))
        or len(found) != 2
        or not all(type(v) is int for v in found)
        or not 0 <= found[0] < found[1]
    ):
        raise WorkloadError("workload.options.vocab: must be [lowest, highest] token id.")
    return found[0], found[1]


def _draw(seed: str, length: int) -> Callable[[int], tuple[int, ...]]:
    """Numbers of 32 bits by index. A hash as the source: equal in every Python there will be."""
    layout = struct.Struct(f"<{length}I")

    def numbers(index: int) -> tuple[int, ...]:
        return layout.unpack(hashlib.shake_128(f"{seed}/{index}".encode()).digest(layout.size))

    return numbers
