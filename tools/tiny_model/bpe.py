"""A byte-level BPE tokenizer, trained: the most frequent pair of symbols becomes one, and again."""

from __future__ import annotations

import heapq
import itertools
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

Pair = tuple[str, str]
#: Words as GPT-2's tokenizer splits them, but for letters and digits of its tables.
_WORDS = re.compile(r" ?[^\W\d_]+| ?\d+| ?(?:[^\s\w]|_)+|\s+(?!\S)|\s+")


def alphabet() -> list[str]:
    """A printable character for each byte, as all byte-level tokenizers have it."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return [chr(byte if byte in printable else next(others)) for byte in range(0x100)]


def in_bytes(symbol: str) -> bytes:
    """The bytes that a symbol stands for."""
    numbers = {letter: number for number, letter in enumerate(alphabet())}
    return bytes(numbers[letter] for letter in symbol)


def merges(text: str, count: int) -> list[Pair]:
    """The first *count* merges learnt from *text*; fewer if there is nothing left to merge."""
    training = _Training(text)
    return [pair for _, pair in zip(range(count), training, strict=False)]


class _Training(Iterator[Pair]):
    def __init__(self, text: str) -> None:
        letters = alphabet()
        found = Counter(_WORDS.findall(text))
        self._words = [[letters[byte] for byte in word.encode()] for word in found]
        self._times = list(found.values())
        self._counts: Counter[Pair] = Counter()
        self._places: defaultdict[Pair, set[int]] = defaultdict(set)
        self._heap: list[tuple[int, Pair]] = []
        for number in range(len(self._words)):
            self._count(number, 1)

    def __next__(self) -> Pair:
        """Merge the most frequent pair, the first by name among equals."""
        while self._heap:
            negative, pair = heapq.heappop(self._heap)
            if -negative == self._counts[pair] > 0:
                self._merge(pair)
                return pair
        raise StopIteration

    def _merge(self, pair: Pair) -> None:
        for number in sorted(self._places[pair]):
            self._count(number, -1)
            self._words[number] = _merged(self._words[number], pair)
            self._count(number, 1)

    def _count(self, number: int, sign: int) -> None:
        word = self._words[number]
        for pair in itertools.pairwise(word):
            self._counts[pair] += sign * self._times[number]
            self._places[pair].add(number)
            heapq.heappush(self._heap, (-self._counts[pair], pair))


def _merged(word: Sequence[str], pair: Pair) -> list[str]:
    made: list[str] = []
    for symbol in word:
        if made and (made[-1], symbol) == pair:
            made[-1] += symbol
        else:
            made.append(symbol)
    return made
