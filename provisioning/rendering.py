"""What a recipe would have started on a host: no host is asked for anything."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from provisioning import agent, engines, launchers, models, needs
from provisioning.command import REDACTED, Secret
from provisioning.deploys import serving
from provisioning.engines.base import ProcessSpec, Site, Weights
from provisioning.launchers.base import File
from provisioning.needs import Needs
from provisioning.operations import python_env
from provisioning.recipe_schema import Recipe
from provisioning.words import Words, grouped

#: Stand for what only a host, or a run, knows.
WORKDIR, RUN_ID, PYTHON, COMMIT = "/WORKDIR", "RUN", "python3", "COMMIT"


@dataclass(frozen=True)
class Rendered:
    """One instance of a recipe's engine: what runs, by which command, from which files."""

    recipe: Recipe
    spec: ProcessSpec
    command: Words
    files: tuple[File, ...]

    def about(self) -> dict[str, Any]:
        """The same as JSON values; modes of files as ``0600``."""
        files = [{"name": f.name, "mode": f"{f.mode:04o}", "content": shown(f)} for f in self.files]
        return {
            "recipe": self.recipe.title,
            "launcher": self.recipe.launcher,
            "instances": self.recipe.layout.instances,
            "engine": self.spec.describe(),
            "command": [list(words) for words in self.command],
            "files": files,
        }


def rendered(recipe: Recipe) -> Rendered:
    """What its launcher would start for *recipe*.

    Raises:
        UsageError: engine or launcher cannot do what it asks for.
    """
    launcher = launchers.of(recipe)
    spec = engines.load(recipe.engine.name).spec(recipe, _site(recipe))
    of_launcher = getattr(launcher, "command", None)
    command = of_launcher(spec, RUN_ID) if of_launcher else grouped(spec.argv)
    return Rendered(recipe, spec, command, launcher.files(spec, RUN_ID))


def shown(file: File) -> str:
    """What stands in *file*: of secrets it was made with stand-ins."""
    return file.content.reveal() if isinstance(file.content, Secret) else file.content


def _site(recipe: Recipe) -> Site:
    """A host on which all is where it would be."""
    wanted = needs.of(recipe, None, WORKDIR)
    container = recipe.engine.container
    return Site(
        python=PYTHON,
        agent=f"{WORKDIR}/agent/{agent.build().name}",
        api_key=Secret(REDACTED),
        environment=python_env.path(wanted) if wanted.needs.python else None,
        weights=next(_weights(wanted), None),
        image=container.image if container else None,
        cache=serving.cache(wanted) if wanted.weights else None,
    )


def _weights(wanted: Needs) -> Iterator[Weights]:
    if not wanted.weights:
        return
    if wanted.model.path is not None:
        yield Weights(wanted.model.path)
    hub = models.of(wanted)
    if hub is not None:
        commit = hub.revision or COMMIT
        yield Weights(hub.snapshot(commit), hub.home, commit)
