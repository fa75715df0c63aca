"""What a worker tells: its figures so far, and the records of its requests."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace

from bench_agent.protocol import RequestRecord


@dataclass
class Tally:
    """What one worker has done so far. `streaming`: events of replies that are not over.

    `lost_segments`: those that the tap had no room for. `lag`: buckets of `Lag`, how late the loop
    read what had arrived.
    """

    requested: int = 0
    completed: int = 0
    failed: int = 0
    output_tokens: int = 0
    streaming: int = 0
    cpu_s: float = 0.0
    busiest_cpu: float = 0.0
    clock_step_ms: float = 0.0
    lost_segments: int = 0
    ended_ns: int = 0
    lag: dict[str, int] = field(default_factory=dict)

    def count(self, record: RequestRecord) -> None:
        """One more request is over."""
        self.completed += record.success
        self.failed += not record.success
        self.output_tokens += (record.output_tokens or 0) if record.success else 0
        self.ended_ns = max(self.ended_ns, record.done_ns)


def encode_record(record: RequestRecord, secret: str | None) -> bytes:
    """A line of records.jsonl, without the API key that an error might repeat."""
    if secret and record.error:
        record = replace(record, error=record.error.replace(secret, "[REDACTED]"))
    return json.dumps(record.__dict__, separators=(",", ":")).encode() + b"\n"


def encode_report(kind: str, tally: Tally) -> bytes:
    """A line to the parent."""
    return json.dumps({"kind": kind, **asdict(tally)}).encode() + b"\n"
