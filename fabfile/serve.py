"""An engine by itself: served, tried."""

from __future__ import annotations

from typing import Any

from bench_agent.protocol import Target
from fabfile import console
from fabfile.tasks import require_stack, task
from provisioning import recipe as recipes
from provisioning import rundir, served, serving, site
from provisioning import smoke as smokes
from provisioning import stack as stacks
from provisioning.errors import LaunchError
from provisioning.rundir import RunDir


@task(
    iterable=["set_"],
    help={"rehearse": "Put the simulator in the place of the engine."},
)
def serve(  # noqa: PLR0917 - invoke passes by name
    c: Any,
    stack: str | None = None,
    recipe: str | None = None,
    set_: list[str] | None = None,
    rehearse: bool = False,
    json: bool = False,
) -> None:
    """Serve a recipe's model on a stack and leave it so; `fab stop` ends it. No load is put on."""
    del c
    name = require_stack(stack)
    if recipe:
        recipes.load(recipe, set_ or [])  # a mistake in it is told before anything is asked
    outputs = stacks.load(name)
    chosen = recipes.load(recipe or outputs.recipe, set_ or [], rehearse=rehearse)
    place = site.of_stack(outputs)
    try:
        run = serving.start(place, chosen, rundir.results_root(), console.progress(as_json=json))
    finally:
        place.remote.close()
    target = served.of(run)
    if json:
        console.show_json(about(run, target))
    else:
        print("\n".join(lines(name, run, target)))


@task(help={"gpu": "It has to have memory on a GPU."})
def smoke(
    c: Any,
    stack: str | None = None,
    run: str | None = None,
    gpu: bool = False,
    json: bool = False,
) -> None:
    """Try the engine that runs: health, models, one completion with the right token count."""
    del c
    name = require_stack(stack)
    found = rundir.find_open(rundir.results_root(), name, run)
    target = served.of(found)
    place = site.of_stack(stacks.load(name))
    try:
        seen = smokes.ask(place.host(), target, gpu=gpu)
    finally:
        place.remote.close()
    if json:
        console.show_json({"run_id": found.run_id, **seen.about()})
    else:
        for check in seen.checks:
            print(f"{'ok ' if check.ok else 'BAD'} {check.name}: {check.what}")
    if bad := seen.failed:
        raise LaunchError(
            f"The smoke test of {found.run_id} failed ({bad.name}).",
            f"`fab diagnose --stack {name}` looks for the cause.",
            phase="smoke",
        )


def about(run: RunDir, target: Target) -> dict[str, Any]:
    """What is served, where: no secrets."""
    return {
        "run_id": run.run_id,
        "model": target.model,
        "urls": [f"{url}/v1" for url in target.base_urls],
        "api_key_file": target.api_key_file,
        "log": target.log,
    }


def lines(stack: str, run: RunDir, target: Target) -> list[str]:
    """The same for a person, with what can be done with it."""
    key = f", key in {target.api_key_file}" if target.api_key_file else ""
    where = ", ".join(f"{url}/v1" for url in target.base_urls)
    return [
        f"{stack} serves {target.model} (run {run.run_id}).",
        f"  on the host: {where}{key}",
        f"  here:        `fab tunnel --stack {stack}`",
        f"  its log:     `fab logs --stack {stack} --engine --follow`",
        f"  try it:      `fab smoke --stack {stack}`",
        f"  end it:      `fab stop --stack {stack}`",
    ]
