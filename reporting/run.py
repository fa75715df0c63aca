"""A run, read from its result directory at home."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench_agent.protocol import (
    SUMS,
    Manifest,
    PointSummary,
    RequestRecord,
    RunSummary,
)
from bench_agent.wire import WireError, decode
from reporting.errors import ReportError
from reporting.files import COLLECT_AGAIN, read, read_object, read_records

HOME_FILE = Path("home", "run.json")
DIAGNOSIS_FILE = Path("home", "diagnosis.json")
ABANDONED = "ABANDONED"
#: States in which nothing more is to come, though the run was never sealed or collected.
ENDED_UNSEALED = ("failed", "lost", "abandoned")
LOG_LINES = 40
_FINDINGS = 3


@dataclass(frozen=True)
class Failure:
    """Why the controller gave up: what happened, what to do, in which phase, the log's tail."""

    what: str
    advice: str = ""
    phase: str = ""
    log: str = ""


@dataclass(frozen=True)
class Home:
    """``home/run.json``, the controller's own file. `phases`: seconds a phase."""

    run_id: str
    stack: str
    recipe: str
    opened_at: str
    state: str
    owner: str = ""
    phases: dict[str, float] = field(default_factory=dict)
    error: Failure | None = None
    collected_at: str | None = None


@dataclass(frozen=True)
class Run:
    """A run at home. Without `summary` nothing was measured: `home` then says why."""

    path: Path
    run_id: str
    stack: str
    recipe: str
    state: str
    manifest: Manifest | None
    summary: RunSummary | None
    home: Home | None

    @property
    def points(self) -> tuple[PointSummary, ...]:
        """The points in the order in which they ran."""
        return self.summary.points if self.summary else ()

    def records(self, point: str) -> Iterator[RequestRecord]:
        """The requests of *point*, read line by line.

        Raises:
            ReportError: while iterating: no such point, or a line that is no record.
        """
        return read_records(self._point_dir(point) / "records.jsonl")

    def vllm(self, point: str) -> dict[str, Any]:
        """``vllm.json`` of *point*; empty where there is none."""
        path = self._point_dir(point) / "vllm.json"
        return read_object(path) if path.is_file() else {}

    @property
    def title(self) -> str:
        """The recipe as `--recipe` takes it: ``name``, or ``name:variant``."""
        variant = self._told("variant")
        return f"{self.recipe}:{variant}" if variant else self.recipe

    @property
    def rehearsal_of(self) -> str:
        """What the simulator stood in for: ``vllm with Qwen/Qwen3-32B``; empty for a real run."""
        of = self._told("rehearsal_of")
        return f"{of.get('engine')} with {of.get('model')}" if isinstance(of, dict) else ""

    @property
    def diagnosis(self) -> tuple[str, ...]:
        """Why its engine failed, as far as is known: what that means, what to do, by failure."""
        try:
            found = json.loads((self.path / DIAGNOSIS_FILE).read_text())
            bad = [one for one in found if one["severity"] == "failure"] or found[:1]
            return tuple(f"{one['meaning']} {one['advice']}" for one in bad[:_FINDINGS])
        except (OSError, ValueError, KeyError, TypeError):
            return ()

    @property
    def series_id(self) -> str:
        """What the runs of one series share; empty for a run by itself."""
        return str(self._told("series_id") or "")

    def _told(self, key: str) -> Any:
        return self.manifest.context.get(key) if self.manifest else None

    @property
    def recipe_yaml(self) -> str:
        """The recipe as it was run; empty where it was not kept."""
        return _text(self.path / "recipe.yaml")

    @property
    def log_tail(self) -> str:
        """The last lines of the engine's log: the one that was rescued, else the collected one."""
        text = _text(self.path / "home" / "server.log") or _text(self.path / "server.log")
        if not text and self.home and self.home.error:
            text = self.home.error.log
        return "\n".join(text.rstrip().splitlines()[-LOG_LINES:])

    def _point_dir(self, point: str) -> Path:
        if point not in {p.point.name for p in self.points} or Path(point).name != point:
            raise ReportError(f"{self.path} has no point {point!r}.", "See its summary.json.")
        return self.path / "points" / point


def load(run_dir: Path) -> Run:
    """Read the run in *run_dir*: a whole one, or one that ended without a measurement.

    That every file of the sums is there is checked; their hashes were when they came home.

    Raises:
        ReportError: no run there, not whole yet, unreadable, or of another schema.
    """
    if not run_dir.is_dir():
        raise ReportError(f"There is no run at {run_dir}.", "`fab status` lists the runs.")
    home = read_home(run_dir)
    if (run_dir / SUMS).is_file():
        return _whole(run_dir, home)
    if home is None:
        raise ReportError(
            f"{run_dir} is not a whole run: it has neither {SUMS} nor {HOME_FILE}.", COLLECT_AGAIN
        )
    if home.state not in ENDED_UNSEALED and not (home.state == "opened" and home.error):
        raise ReportError(
            f"Run {home.run_id} is not whole at home yet ({home.state}).",
            f"`fab collect --stack {home.stack}` brings it home.",
        )
    return Run(run_dir, home.run_id, home.stack, home.recipe, home.state, None, None, home)


def read_home(run_dir: Path) -> Home | None:
    """``home/run.json`` of *run_dir*, None without one; a marker ABANDONED overrules its state.

    Raises:
        ReportError: unreadable, of another schema, or a key is missing.
    """
    path = run_dir / HOME_FILE
    if not path.is_file():
        return None
    data = read_object(path)
    if isinstance(data.get("error"), dict):
        data["error"] = _known(Failure, data["error"])
    try:
        home = decode(Home, _known(Home, data))
    except WireError as error:
        raise ReportError(f"{path}: {error}.", "The file was damaged: restore it.") from None
    if (run_dir / ABANDONED).exists():
        return dataclasses.replace(home, state="abandoned")
    return home


def _whole(run_dir: Path, home: Home | None) -> Run:
    missing = [name for name in _sums(run_dir) if not (run_dir / name).is_file()]
    if missing:
        raise ReportError(f"{run_dir} is not whole: {missing[0]} is missing.", COLLECT_AGAIN)
    manifest = read(Manifest, run_dir / "manifest.json")
    summary = read(RunSummary, run_dir / "summary.json")
    return Run(
        run_dir,
        summary.run_id,
        manifest.stack,
        manifest.recipe,
        summary.state,
        manifest,
        summary,
        home,
    )


def _sums(run_dir: Path) -> list[str]:
    lines = _text(run_dir / SUMS).splitlines()
    return [line.partition("  ")[2] for line in lines if line.strip()]


def _known(cls: type, data: dict[str, Any]) -> dict[str, Any]:
    """*data* less the keys that *cls* does not know and the nulls that stand for a default."""
    fields = {f.name: f for f in dataclasses.fields(cls)}
    return {k: v for k, v in data.items() if k in fields and v is not None}


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
