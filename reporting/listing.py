"""All runs at home, one row each; a directory that cannot be read is a row too."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench_agent.protocol import RUN_ID, SUMS, PointSummary, RunSummary
from reporting import figures
from reporting.errors import ReportError
from reporting.files import read
from reporting.run import Home, read_home

BROKEN = "broken"


@dataclass(frozen=True)
class Row:
    """One run. `state` is ``broken`` where `problem` says what is wrong with its directory.

    `verdict` is ``valid``, ``not valid`` or empty when nothing was measured. The figures are
    those of the run's best point: `output_throughput` in tokens/s, `ttft_ms` its mean.
    """

    run_id: str
    stack: str
    recipe: str
    state: str
    verdict: str = ""
    opened_at: str = ""
    point: str = ""
    output_throughput: float | None = None
    ttft_ms: float | None = None
    problem: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def runs(results: Path) -> list[Row]:
    """Every directory two levels below *results*, newest first; none is left out."""
    if not results.is_dir():
        return []
    folders = [run for stack in _folders(results) for run in _folders(stack)]
    return sorted(map(row, folders), key=_age, reverse=True)


def row(run_dir: Path) -> Row:
    """The row of *run_dir*, whatever is in it."""
    stack, name = run_dir.parent.name, run_dir.name
    if not RUN_ID.fullmatch(name):
        return Row(name, stack, "", BROKEN, problem="Its name is no run id.")
    recipe = name.split("-", 1)[1].rsplit("-", 1)[0]
    try:
        home = read_home(run_dir)
        summary = read(RunSummary, run_dir / "summary.json") if _whole(run_dir) else None
    except ReportError as error:
        return Row(name, stack, recipe, BROKEN, problem=error.what)
    if home is None and summary is None:
        return Row(name, stack, recipe, BROKEN, problem="It holds no run.")
    return _row(run_dir, home, summary, recipe)


def _row(run_dir: Path, home: Home | None, summary: RunSummary | None, recipe: str) -> Row:
    best = figures.best(summary.points) if summary else None
    return Row(
        run_id=run_dir.name,
        stack=run_dir.parent.name,
        recipe=home.recipe if home else recipe,
        state=summary.state if summary else home.state if home else BROKEN,
        verdict=figures.verdict(summary.verdict) if summary else "",
        opened_at=home.opened_at if home else "",
        point=best.point.name if best else "",
        output_throughput=best.output_throughput if best else None,
        ttft_ms=_ttft(best),
        problem=home.error.what if home and home.error and not summary else "",
    )


def _ttft(best: PointSummary | None) -> float | None:
    return figures.mean(best.ttft_ms) if best else None


def _whole(run_dir: Path) -> bool:
    return (run_dir / SUMS).is_file()


def _folders(path: Path) -> list[Path]:
    return [p for p in path.iterdir() if p.is_dir()]


def _age(found: Row) -> tuple[bool, str, str]:
    """Run ids begin with their time; names that are none sort as the oldest."""
    return bool(RUN_ID.fullmatch(found.run_id)), found.run_id, found.stack
