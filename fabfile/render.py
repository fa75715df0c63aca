"""What would be started, nothing is."""

from __future__ import annotations

from typing import Any

from fabfile import console
from fabfile.tasks import task
from provisioning import recipe as recipes
from provisioning import rendering
from provisioning.command import quote
from provisioning.errors import UsageError
from provisioning.rendering import Rendered

_NEXT = " \\\n    "


@task(
    iterable=["set_"],
    help={
        "recipe": "A recipe of recipes/; NAME:VARIANT for one of its variants.",
        "rehearse": "What a rehearsal of it would have started.",
    },
)
def render(
    c: Any,
    recipe: str | None = None,
    set_: list[str] | None = None,
    rehearse: bool = False,
    json: bool = False,
) -> None:
    """Print what a recipe would have started: command and files. Nothing is, no host is asked."""
    del c
    if not recipe:
        known = ", ".join(recipes.names())
        raise UsageError("No recipe was named.", f"Say --recipe with one of: {known}.")
    found = [
        rendering.rendered(one) for one in recipes.series(recipe, set_ or [], rehearse=rehearse)
    ]
    if json:
        console.show_json([one.about() for one in found])
    else:
        print("\n".join("\n".join(_lines(one)) for one in found))


def _lines(one: Rendered) -> list[str]:
    """A heading, the command, and each file under its name."""
    recipe = one.recipe
    lines = [f"# {recipe.title}: {one.spec.engine} by {recipe.launcher}", f"# {recipe.description}"]
    if recipe.layout.instances != 1:
        lines.append(f"# The first of {recipe.layout.instances} instances.")
    lines += ["", _NEXT.join(quote(*words) for words in one.command), ""]
    for file in one.files:
        name = f"{rendering.WORKDIR}/engines/{rendering.RUN_ID}/{file.name}"
        lines += [f"==> {name} (mode {file.mode:04o})", rendering.shown(file)]
    return lines
