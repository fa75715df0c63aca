"""What a run brought home, as the demonstration judges it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

STACK = "local"


@dataclass(frozen=True)
class Outcome:
    """One run at home: its directory, its report, and requests over all points."""

    folder: Path
    report: Path
    requested: int
    completed: int
    whole: bool

    @property
    def good(self) -> bool:
        """Whether every request was measured and everything lies at home."""
        return self.whole and self.report.exists() and 0 < self.requested == self.completed


def results(checkout: Path, environ: Mapping[str, str]) -> Path:
    """Where runs of the stack come home."""
    return Path(environ.get("LLM_DYNO_RESULTS") or checkout / "results") / STACK


def runs(folder: Path) -> set[Path]:
    """The run directories in *folder*."""
    return {path for path in folder.glob("*") if path.is_dir()}


def read(run: Path) -> Outcome:
    """Judge the run directory *run*; what cannot be read counts as nothing."""
    try:
        points = json.loads((run / "summary.json").read_text())["points"]
    except (OSError, ValueError, KeyError):
        points = []
    return Outcome(
        folder=run,
        report=run / "home" / "report.html",
        requested=sum(point["requested"] for point in points),
        completed=sum(point["completed"] for point in points),
        whole=(run / "SHA256SUMS").exists(),
    )


def shown(path: Path) -> str:
    """*path* as it is shortest from here."""
    here = Path.cwd()
    return os.fspath(path.relative_to(here)) if path.is_relative_to(here) else os.fspath(path)
