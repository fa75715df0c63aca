"""Token counts where streams bear none: the server's own tokenizer counts the replies."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from bench_agent import storage
from bench_agent.tokenizer import Tokenizer, TokenizerError

#: Counting takes no longer; what is left has failed for want of usage.
PATIENCE_S = 30.0


def recount(records: Path, tokens: Tokenizer, patience_s: float = PATIENCE_S) -> int:
    """Fill in what successful records lack; how many of them nobody could count (now failed).

    Raises:
        OSError: the disk is full; the records are as they were.
    """
    lost = 0
    end = time.monotonic() + patience_s
    fresh = records.with_name(f".{records.name}.tmp")
    try:
        with records.open("rb") as lines, fresh.open("wb") as out:
            for line in lines:
                record = json.loads(line)
                if record["success"] and record["output_tokens"] is None:
                    lost += not _count(record, tokens if time.monotonic() < end else None)
                out.write(json.dumps(record, separators=(",", ":")).encode() + b"\n")
        fresh.replace(records)
    finally:
        fresh.unlink(missing_ok=True)
    storage.sync_folder(records.parent)
    return lost


def _count(record: dict[str, Any], tokens: Tokenizer | None) -> bool:
    if tokens is None:
        late = "there was no time left to count the tokens"
        record |= {"success": False, "failure": "no_usage", "error": late}
        return False
    try:
        record["output_tokens"] = len(tokens.encode(record["text"] or ""))
    except TokenizerError as error:
        record |= {"success": False, "failure": "no_usage", "error": str(error)}
        return False
    record["prompt_tokens"] = record["asked_prompt_tokens"]
    return True
