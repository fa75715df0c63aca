"""Other clients' opinion of a run's points, after the agent's, of the same load on the same engine.

The run is home before; whatever goes wrong here is told, and fails nothing.
``home/second_opinion.json``: ``{"tools": {name: {"version", "points": {point: …}}}}``, see
`compare.compared`; what the tools themselves left lies in ``home/second_opinion/<tool>/<point>/``.
"""

from __future__ import annotations

import base64
import binascii
import io
import json
import tarfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

from bench_agent.protocol import PointSummary, RunSummary, Target
from provisioning import named
from provisioning.command import Command
from provisioning.deploys.step import Step
from provisioning.errors import CommandError, DynoError, RemoteError
from provisioning.host import Host
from provisioning.operations import files
from provisioning.outcome import load_summary
from provisioning.recipe_schema import Recipe
from provisioning.rundir import RunDir, durable
from provisioning.second_opinion import environment, tools
from provisioning.second_opinion.base import Asked, Opinion, Teller, Tool
from provisioning.second_opinion.compare import compared

FILE, FOLDER = "second_opinion.json", "second_opinion"
#: A tool may take so many times as long as the agent, and this long to start and write.
_TIMES, _MORE_S = 3.0, 180.0
#: What a tool leaves behind is logs and a database: more than this stays on the host.
_MOST_MIB = 64
_STEP = "opinion-"


def load(name: str) -> Tool:
    """The tool *name*.

    Raises:
        UsageError: there is none.
    """
    return cast("Tool", named.module(tools, name, "second opinion"))


def steps(recipe: Recipe, workdir: str) -> Iterator[Step]:
    """Environments of the tools that *recipe* asks for, made beside the engine's."""
    for name in recipe.second_opinion:
        packages = load(name).packages(recipe)
        if packages is not None:
            yield environment.step(f"{_STEP}{name}", workdir, packages)


def longest_s(recipe: Recipe, planned_s: float) -> float:
    """What it adds at most to a run that takes *planned_s*; a guess as generous as that."""
    return len(recipe.second_opinion) * planned_s


def take(
    host: Host, recipe: Recipe, target: Target, run: RunDir, tell: Teller
) -> dict[str, Any] | None:
    """Have each tool measure each point; what is written of it. None: there is no opinion."""
    found: dict[str, Any] = {}
    try:
        summary = load_summary(run)
        for name in recipe.second_opinion:
            taking = _Taking(host, recipe, target, run, name, tell)
            points = found.setdefault(name, {"version": load(name).VERSION, "points": {}})["points"]
            for point, opinion in taking.of(summary):
                points[point] = opinion
    except DynoError as error:
        tell(f"There is no {'further ' if found else ''}second opinion: {error.what}")
    if not found:
        return None
    told = {"tools": found}
    try:
        durable(run.home / FILE, json.dumps(told, indent=1).encode())
    except OSError as error:
        tell(f"The second opinion is not written: {error}")
    return told


@dataclass(frozen=True)
class _Taking:
    """The opinions of one tool."""

    host: Host
    recipe: Recipe
    target: Target
    run: RunDir
    name: str
    tell: Teller

    def of(self, summary: RunSummary) -> Iterator[tuple[str, dict[str, Any]]]:
        """Each planned point, but for repeats, with what is told of it.

        Raises:
            RemoteError: the connection broke at the point before: its tool may still be at work.
        """
        planned = {point.name for point in self.recipe.points() if point.repeat_of is None}
        for ours in summary.points:
            if ours.point.name not in planned:
                continue
            opinion, broken = self._one(ours)
            if opinion.reason:
                self.tell(f"{self.name}: no opinion of {opinion.point}: {opinion.reason}.")
            yield opinion.point, compared(opinion, ours, summary.calibration)
            if broken:
                raise broken

    def _one(self, ours: PointSummary) -> tuple[Opinion, RemoteError | None]:
        """The opinion; and what broke the connection, if that did."""
        tool, point = load(self.name), ours.point
        reason = tool.unfit(self.recipe, self.target, point)
        if not ours.completed:
            reason = "the agent measured nothing"
        if reason:
            return Opinion(self.name, tool.VERSION, point.name, reason=reason), None
        self.tell(f"{self.name}: {point.name} once more")
        folder = self.host.path("opinions", self.run.run_id, self.name, point.name)
        limit_s = _TIMES * ours.duration_s + _MORE_S
        run_id = self.run.run_id
        asked = Asked(self.recipe, self.target, point, ours, run_id, folder, limit_s)
        try:
            self.host.execute(files.make(folder, 0o700), label="opinion.folder")
            opinion = self._measured(tool, asked)
        except DynoError as error:
            why = error.what.rstrip(".")
            opinion = Opinion(self.name, tool.VERSION, point.name, reason=why)
            return opinion, _broken(error)
        return opinion, None

    def _measured(self, tool: Tool, asked: Asked) -> Opinion:
        """What the tool left is home, but where the connection broke: the driver removes that."""
        broken: RemoteError | None = None
        try:
            return tool.measure(self.host, asked, self.tell)
        except DynoError as error:
            broken = _broken(error)
            raise
        finally:
            if not broken:
                self._bring_home(asked.folder, asked.point.name)

    def _bring_home(self, folder: str, point: str) -> None:
        """What the tool left; then it is gone from the host."""
        script = 'cd "$1" && tar -czf - . | head -c "$2" | base64'
        limit = str(_MOST_MIB * 1024 * 1024)
        target = self.run.home / FOLDER / self.name / point
        try:
            command = Command.shell(script, folder, limit, shown=f"read {folder}")
            packed = self.host.ask(command, 600.0)
            target.mkdir(parents=True, exist_ok=True)
            data = base64.b64decode(packed.stdout)
            with tarfile.open(fileobj=io.BytesIO(data)) as archive:
                archive.extractall(target, filter="data")
        except (DynoError, OSError, tarfile.TarError, binascii.Error, EOFError) as error:
            self.tell(f"What {self.name} left of {point} is not home: {error}")
        with suppress(DynoError):  # a leftover is no reason to lose what was measured
            self.host.execute(Command("rm", "-rf", folder), label="opinion.folder")


def _broken(error: DynoError) -> RemoteError | None:
    """*error*, where it is the connection's and not a command's."""
    if isinstance(error, RemoteError) and not isinstance(error, CommandError):
        return error
    return None
