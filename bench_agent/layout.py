"""Where things lie: the working folder and the folder of a run."""

from __future__ import annotations

from errno import ENOENT
from pathlib import Path

from bench_agent.protocol import CONTROL, RUN_ID, SUMS


class RunDir:
    """The result directory of one run, and its control folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        control = path / CONTROL
        self.control = control
        self.spec = control / "spec.json"
        self.status = control / "status.json"
        self.events = control / "events.jsonl"
        self.done = control / "done.json"  # names of the points that are through
        self.alive = control / "alive.lock"
        self.sums = path / SUMS
        self.manifest = path / "manifest.json"
        self.summary = path / "summary.json"
        self.recipe = path / "recipe.yaml"
        self.server_log = path / "server.log"
        self.agent_log = path / "agent.log"
        self.telemetry = path / "telemetry.jsonl"

    @property
    def run_id(self) -> str:
        """The name of the folder."""
        return self.path.name

    @property
    def sealed(self) -> bool:
        """Whether the result is whole."""
        return self.sums.exists()

    def point(self, name: str) -> Path:
        """The folder of one point."""
        return self.path / "points" / name

    def records(self, name: str) -> Path:
        """The records of one point."""
        return self.point(name) / "records.jsonl"

    def files(self) -> list[str]:
        """Relative paths of the result: neither control, nor sums, nor anything half-written."""
        found = (p for p in self.path.rglob("*") if p.is_file())
        names = (p.relative_to(self.path).as_posix() for p in found)
        return sorted(
            name
            for name in names
            if not name.startswith(f"{CONTROL}/") and name != SUMS and not name.endswith(".tmp")
        )


class Workdir:
    """The agent's folder on a host."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.runs_path = path / "runs"
        self.calibration = path / "calibration"
        self.lock_owner = path / "lock" / "owner.json"

    def run(self, run_id: str) -> RunDir:
        """One run, whether it exists or not.

        Raises:
            ValueError: that is no run id.
        """
        if not RUN_ID.fullmatch(run_id):
            raise ValueError(f"{run_id!r} is no run id.")
        return RunDir(self.runs_path / run_id)

    def runs(self) -> list[RunDir]:
        """All runs, oldest first.

        Raises:
            FileNotFoundError: they lie on a disk that is not mounted: what there is, is unknown.
        """
        if not self.runs_path.is_dir():
            if self.runs_path.is_symlink():
                raise FileNotFoundError(
                    ENOENT,
                    "The runs are on a disk that is not mounted",
                    str(self.runs_path.readlink()),
                )
            return []
        names = sorted(p.name for p in self.runs_path.iterdir() if RUN_ID.fullmatch(p.name))
        return [RunDir(self.runs_path / name) for name in names]
