"""Reading the JSON files of a result directory into what the protocol says they are."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from bench_agent.protocol import SCHEMA, RequestRecord
from bench_agent.wire import WireError, decode
from reporting.errors import ReportError

T = TypeVar("T")

COLLECT_AGAIN = "Bring the run home again with `fab collect`."


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in *path*, of this release's schema where it names one.

    Raises:
        ReportError: missing, unreadable, not an object, or of another schema.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ReportError(f"{path} is missing.", COLLECT_AGAIN) from None
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ReportError(f"{path} cannot be read: {reason}.", "Check its permissions.") from None
    except ValueError as error:
        raise ReportError(f"{path} is not JSON: {error}.", COLLECT_AGAIN) from None
    if not isinstance(data, dict):
        raise ReportError(f"{path} holds no JSON object.", COLLECT_AGAIN)
    if data.get("schema", SCHEMA) != SCHEMA:
        raise ReportError(
            f"{path} has schema {data['schema']!r}; this release reads {SCHEMA}.",
            "Read it with the release of llm-dyno that wrote it.",
        )
    return data


def read(cls: type[T], path: Path) -> T:
    """*path* as *cls*.

    Raises:
        ReportError: as `read_object`, and where a value does not fit, with its path.
    """
    try:
        return decode(cls, read_object(path))
    except WireError as error:
        raise ReportError(f"{path}: {error}.", COLLECT_AGAIN) from None


def read_records(path: Path) -> Iterator[RequestRecord]:
    """The records in *path*, one line at a time.

    Only the keys are checked: a run holds millions of stamps, and its sums vouch for the rest.

    Raises:
        ReportError: missing file, or a line that is no record, with its number.
    """
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                yield _record(line, f"{path}:{number}")
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ReportError(f"{path} cannot be read: {reason}.", COLLECT_AGAIN) from None


def _record(line: str, where: str) -> RequestRecord:
    try:
        data = json.loads(line)
        return RequestRecord(**{**data, "chunk_ns": tuple(data.get("chunk_ns", ()))})
    except (ValueError, TypeError, AttributeError) as error:
        detail = str(error).removeprefix("RequestRecord.__init__() ")
        raise ReportError(f"{where} is not a request record: {detail}.", COLLECT_AGAIN) from None
