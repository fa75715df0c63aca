"""A tokenizer that is as awkward as real ones."""

from __future__ import annotations

import binascii
import re

from bench_agent.load.plan import Request

TEMPLATE = 9
_PIECES = re.compile(r"[^\s\w]+\n*|\n+| ?\w+")


class Counting:
    """Long words are several tokens, an end mark takes its line feed along, a space its word."""

    def __init__(self) -> None:
        self.asked = 0

    def encode(self, text: str) -> list[int]:
        self.asked += 1
        pieces = [p[i : i + 6] for p in _PIECES.findall(text) for i in range(0, len(p), 6)]
        return [1000 + binascii.crc32(piece.encode()) % 30000 for piece in pieces]

    def count_chat(self, text: str) -> int:
        return TEMPLATE + len(self.encode(text.strip()))

    def count(self, request: Request) -> int:
        """Prompt tokens of a request: of ids, or of a chat message."""
        return (
            self.count_chat(request.prompt)
            if isinstance(request.prompt, str)
            else len(request.prompt)
        )
