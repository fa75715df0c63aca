"""What other clients measured at a point, beside our own figures (``home/second_opinion.json``)."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from reporting.files import read_object

FILE = Path("home", "second_opinion.json")
_WIDTH = 80
_ROW = "{:<40} {:>11} {:>11} {:>11}{}"
#: What is shown, and how it is called; all else is in the file.
_FIGURES = {
    "completed": "Successful requests",
    "input_tokens": "Total input tokens",
    "output_tokens": "Total generated tokens",
    "duration_s": "Benchmark duration (s)",
    "request_throughput": "Request throughput (req/s)",
    "input_throughput": "Input token throughput (tok/s)",
    "output_throughput": "Output token throughput (tok/s)",
    "mean_ttft_ms": "Mean TTFT (ms)",
    "median_ttft_ms": "Median TTFT (ms)",
    "mean_tpot_ms": "Mean TPOT (ms)",
    "mean_itl_ms": "Mean ITL (ms)",
    "mean_e2el_ms": "Mean E2EL (ms)",
    "median_e2el_ms": "Median E2EL (ms)",
    "e2el_per_output_token_ms": "E2EL per output token (ms)",
}


def lines(run: Path, point: str) -> Iterator[str]:
    """A table for each tool that measured *point* of the run in *run*; nothing where none did.

    Raises:
        ReportError: the file is there and cannot be read.
    """
    if not (run / FILE).is_file():
        return
    for name, tool in read_object(run / FILE).get("tools", {}).items():
        found = tool.get("points", {}).get(point)
        if found is not None:
            yield from _table(f"{name} {tool.get('version', '')}".strip(), found)


def _table(tool: str, found: Mapping[str, Any]) -> Iterator[str]:
    rows, beyond = found.get("figures") or {}, False
    if rows:
        yield _ROW.format(f"Second opinion: {tool}", "ours", "theirs", "differs", "").rstrip()
    for key, label in _FIGURES.items():
        if key in rows:
            beyond = beyond or bool(rows[key].get("beyond"))
            yield _row(label, rows[key])
    if beyond:
        yield "* differs by more than our client's own error, as its calibration measured it"
    if found.get("reason"):
        yield from _wrapped(f"Second opinion: {tool}: none, for {found['reason'].rstrip('.')}.")
    for note in found.get("notes", ()):
        yield from _wrapped(f"- {note}", "  ")


def _row(label: str, row: Mapping[str, Any]) -> str:
    differs = row.get("differs")
    cells = (_figure(row.get("ours")), _figure(row["theirs"]), _figure(differs, "+"))
    return _ROW.format(f"{label}:", *cells, " *" if row.get("beyond") else "").rstrip()


def _figure(value: float | None, sign: str = "") -> str:
    if value is None:
        return "-"
    return f"{value:{sign}d}" if isinstance(value, int) else f"{value:{sign}.2f}"


def _wrapped(text: str, indent: str = "") -> list[str]:
    return textwrap.wrap(
        text, _WIDTH, initial_indent=indent, subsequent_indent=indent + "  ", break_on_hyphens=False
    )
