"""A recipe's variants run one after another: one that fails costs the others nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from provisioning import bench, plan, rundir
from provisioning.errors import DynoError
from provisioning.outcome import require_fit
from provisioning.progress import Progress
from provisioning.recipe_schema import Recipe
from provisioning.rundir import RunDir
from provisioning.site import Site


@dataclass(frozen=True)
class Outcome:
    """What came of one recipe: `run` is None when it had not even begun, `error` when all is well.

    An `error` with a `run` that is whole is of the load: there is a result to look at.
    """

    recipe: Recipe
    run: RunDir | None
    error: DynoError | None

    def about(self) -> dict[str, Any]:
        """The same as JSON values."""
        error = self.error
        return {
            "recipe": self.recipe.title,
            "run_id": self.run.run_id if self.run else None,
            "results": str(self.run.path) if self.run else None,
            "error": {"what": error.what, "advice": error.advice} if error else None,
            "exit_code": error.exit_code if error else 0,
        }


def run(
    site: Site,
    recipes: Sequence[Recipe],
    results: Path,
    progress: Progress,
    hear: Callable[[Outcome], None],
) -> tuple[str | None, list[Outcome]]:
    """Run all of *recipes* at *site* in turn; *hear* is told of each when it is over.

    The id of the series (None for a series of one), and what came of each. The host is locked
    for each run by itself.

    Raises:
        DynoError: something is wrong with one of them, or the stack does not last for all:
            before any is run.
    """
    bench.require_room(site, recipes, results)
    for recipe in recipes:
        bench.prepare(site, recipe)
    series_id = rundir.new_run_id(recipes[0].name) if len(recipes) > 1 else None
    outcomes = []
    for number, recipe in enumerate(recipes, 1):
        if series_id:
            progress.note(f"{number} of {len(recipes)}: {recipe.title}")
        outcomes.append(_one(site, recipe, results, progress, series_id))
        hear(outcomes[-1])
    return series_id, outcomes


def failed(worst: DynoError, count: int, of: int) -> DynoError:
    """An error of phase and exit code of the *worst*: each of *count* was told by itself."""
    error = DynoError(
        f"{count} of {of} runs of the series have no fit result.",
        "What each came to stands above; `--variant` runs one of them anew.",
        phase=worst.phase,
    )
    error.exit_code = worst.exit_code
    return error


def listing(recipes: Sequence[Recipe]) -> list[dict[str, Any]]:
    """What would be run, as JSON values."""
    return [
        {
            "recipe": recipe.title,
            "description": recipe.description,
            "rehearsal_of": recipe.stands_for,
            "model": recipe.model.name,
            "engine": recipe.engine.name,
            "launcher": recipe.launcher,
            "points": [point.name for point in recipe.points()],
            "planned_s": round(plan.planned_s(recipe), 1),
        }
        for recipe in recipes
    ]


def _one(
    site: Site, recipe: Recipe, results: Path, progress: Progress, series_id: str | None
) -> Outcome:
    begun: list[RunDir] = []
    try:
        made = bench.bench(
            site, recipe, results, progress, series_id=series_id, opened=begun.append
        )
        require_fit(made)
    except DynoError as error:
        return Outcome(recipe, begun[0] if begun else None, error)
    return Outcome(recipe, made, None)
