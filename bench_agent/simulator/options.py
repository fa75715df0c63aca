"""What a simulator can be told."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    """Times in milliseconds; `max_num_seqs` requests run at once, the rest queue in order."""

    model: str = "simulated"
    ttft_ms: float = 50.0
    itl_ms: float = 10.0
    max_num_seqs: int = 256
    max_tokens: int = 16  # where a request names none
    max_model_len: int = 32768
    api_key: str | None = None

    @property
    def ttft_ns(self) -> int:
        """Time to first token, nanoseconds."""
        return round(self.ttft_ms * 1e6)

    @property
    def itl_ns(self) -> int:
        """Time between tokens, nanoseconds."""
        return round(self.itl_ms * 1e6)
