"""Records and specs as tests need them: small, and right unless told otherwise."""

from __future__ import annotations

from typing import Any

from bench_agent.protocol import Limits, Point, RequestRecord, RunSpec, Target, Workload

MS = 1_000_000
#: For real loads on a machine that has other things to do.
PATIENT = Limits(max_send_delay_ms=5000.0, max_coalesced_share=1.0, max_client_error_ms=5000.0)


def record(index: int = 0, *, start_ms: int = 0, **changes: Any) -> RequestRecord:
    """A request of three tokens: sent 1 ms late, first token after 50 ms, then 10 ms each."""
    due = start_ms * MS
    sent = due + MS
    values: dict[str, Any] = {
        "index": index,
        "request_id": f"r{index}",
        "endpoint": "http://127.0.0.1:1",
        "success": True,
        "due_ns": due,
        "sent_ns": sent,
        "done_ns": sent + 70 * MS,
        "first_chunk_ns": sent + 50 * MS,
        "first_content_ns": sent + 50 * MS,
        "last_chunk_ns": sent + 70 * MS,
        "chunk_ns": (50 * MS, 60 * MS, 70 * MS),
        "prompt_tokens": 8,
        "output_tokens": 3,
        "finish_reason": "length",
        "http_status": 200,
        "reads": 3,
    }
    return RequestRecord(**{**values, **changes})


def failed(index: int = 0, *, failure: str = "reset", **changes: Any) -> RequestRecord:
    """A request that failed after its first token."""
    values: dict[str, Any] = {
        "success": False,
        "failure": failure,
        "error": "gone",
        "last_chunk_ns": None,
        "chunk_ns": (50 * MS,),
        "prompt_tokens": None,
        "output_tokens": None,
        "finish_reason": None,
        "reads": 1,
    }
    return record(index, **{**values, **changes})


def run_spec(*, url: str = "http://127.0.0.1:1", **changes: Any) -> RunSpec:
    """A spec of one point with two requests of 8 + 3 tokens."""
    values: dict[str, Any] = {
        "schema": 1,
        "run_id": "20261121T000000Z-demo-0a1b",
        "stack": "local",
        "recipe": "demo",
        "target": Target(base_urls=(url,), model="simulated"),
        "workload": Workload(input_len=8, output_len=3),
        "points": (Point("00-c2", num_prompts=2, max_concurrency=2),),
        "planned_s": 30.0,
        "calibrate": False,
    }
    return RunSpec(**{**values, **changes})
