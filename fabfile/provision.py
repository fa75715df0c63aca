"""Hosts made fit for a recipe, all of a stack at once."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from fabfile import console, early, hosts_shown
from fabfile.tasks import require_stack, task
from provisioning import stack as stacks
from provisioning.errors import DynoError, StackError

if TYPE_CHECKING:
    from provisioning.deploys.report import Report


@task(
    iterable=["set_"],
    help={"dry-run": "Print the commands that would run on the hosts; change nothing."},
)
def provision(  # noqa: PLR0917 - invoke passes by name
    c: Any,
    stack: str | None = None,
    recipe: str | None = None,
    set_: list[str] | None = None,
    dry_run: bool = False,
    json: bool = False,
) -> None:
    """Make the hosts of a stack what a recipe needs, without any load: only what is missing."""
    del c
    begun = time.monotonic()
    with early.loading():  # while Pulumi is asked
        from provisioning import provision as deploys  # noqa: PLC0415
        from provisioning import recipe as recipes  # noqa: PLC0415
        from provisioning.deploys import gpu_host  # noqa: PLC0415

        gpu_host.topics()
    name = require_stack(stack)
    if recipe:
        recipes.load(recipe, set_ or [])  # a mistake in it is told before anything is asked
    outputs = stacks.load(name)
    if not outputs.hosts:
        raise StackError(f"The stack {name} has no host to provision.", "It is URLs only.")
    chosen = recipes.load(recipe or outputs.recipe, set_ or [])
    with hosts_shown.lines([host.name for host in outputs.hosts], as_json=json) as tell:
        try:
            found = deploys.provision_stack(outputs, chosen, tell, dry_run=dry_run)
        except KeyboardInterrupt:
            print(
                f"\nWhat was begun goes on there; `{_again(name)}` does the rest.", file=sys.stderr
            )
            raise
    names = [host.name for host in outputs.hosts]
    if json:
        _show_json(name, chosen.name, dict(zip(names, found, strict=True)), begun)
    else:
        _show(dict(zip(names, found, strict=True)))
    sys.exit(max((e.exit_code for e in found if isinstance(e, DynoError)), default=0))


def _again(stack: str) -> str:
    return f"fab provision --stack {stack}"


def _show_json(stack: str, recipe: str, found: dict[str, Report | DynoError], begun: float) -> None:
    hosts = [
        {"host": name, "error": console.about(one)} if isinstance(one, DynoError) else one.about()
        for name, one in found.items()
    ]
    took = round(time.monotonic() - begun, 3)
    console.show_json({"stack": stack, "recipe": recipe, "seconds": took, "hosts": hosts})


def _show(found: dict[str, Report | DynoError]) -> None:
    """What came of each host: reports first, for the last that a person reads is what to do."""
    for one in found.values():
        if not isinstance(one, DynoError):
            print("\n".join(hosts_shown.summary(one)))
    sys.stdout.flush()
    for name, one in found.items():
        if isinstance(one, DynoError):
            print(f"{name}: not provisioned", file=sys.stderr)
            console.complain(one, as_json=False)
