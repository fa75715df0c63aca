"""Nodes that are only URLs: asked to serve, waited for, loaded from this machine, told to stop.

Before a node is asked for anything, ``engines/<run-id>/nodes.json`` of this machine says which:
whoever comes later can tell them to stop.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from typing import Any

from bench_agent.protocol import Target
from provisioning import at_once, smoke
from provisioning.command import Command, Secret
from provisioning.engines import mlnode as engine
from provisioning.errors import DynoError, LaunchError, UsageError
from provisioning.host import Host
from provisioning.mlnode_api import INFERENCE, STOPPED, Node, SilentError
from provisioning.mlnode_wait import Wait
from provisioning.operations import files
from provisioning.progress import Progress
from provisioning.readiness import Ready
from provisioning.recipe_schema import Recipe
from provisioning.site import Site, api_key

FILE = "nodes.json"
#: Beside what `timeouts.stop_s` gives vLLM: the node ends vLLM itself after 20 s.
_STOP_S = 30.0


def asked(recipe: Recipe) -> bool:
    """Whether *recipe* is served by nodes."""
    return recipe.engine.name == engine.NAME


def check(site: Site, recipe: Recipe) -> None:
    """What can be told before anything begins; nothing for other engines.

    Raises:
        UsageError: the stack has no nodes that can be asked, or they cannot do what is asked.
    """
    if asked(recipe):
        nodes(site)
        engine.request(recipe)


def nodes(site: Site) -> tuple[Node, ...]:
    """The nodes of a stack of URLs.

    Raises:
        UsageError: it has none, or not all can be told what to serve.
    """
    ends = site.outputs.endpoints if site.outputs and not site.outputs.hosts else ()
    if not ends:
        what = f"stack {site.stack}" if site.outputs else "server at a URL"
        raise UsageError(
            f"engine.name: mlnode is served by nodes, and the {what} has none.",
            "Take a stack of the cloud mlnode (`--stack mlnode`), or rehearse (`--rehearse`).",
        )
    if any(end.management_url is None for end in ends):
        raise UsageError(
            f"A node of the stack {site.stack} has no management_url: it cannot be told what to "
            "serve.",
            "Set it, or load what the node serves as it is: `fab bench --url`.",
        )
    return tuple(
        Node(str(end.management_url), end.inference_url, number, len(ends))
        for number, end in enumerate(ends, 1)
    )


def serve(
    site: Site, host: Host, recipe: Recipe, run_id: str, progress: Progress
) -> tuple[Target, dict[str, Any]]:
    """Have all nodes serve the recipe's model; what the load goes to, what to keep of it.

    *host* is this machine. They are left as they are when one fails: `release` ends them.

    Raises:
        LaunchError: one is not free, refuses, or was never ready; which, and what it said.
    """
    wanted, body, key = nodes(site), engine.request(recipe), api_key()
    _require_free(wanted)
    folder = host.path("engines", run_id)
    key_file = f"{folder}/api-key" if key else None
    told = json.dumps([asdict(node) for node in wanted])
    keep = [files.make(folder, 0o700), files.write(f"{folder}/{FILE}", told, 0o600)]
    if key and key_file:
        keep.append(files.write(key_file, key, 0o600))
    host.execute(*keep, label="mlnode.asked")
    ready = _all_up(wanted, body, recipe, key, progress)
    urls = tuple(node.inference_url for node in wanted)
    target = Target(urls, recipe.model.name, recipe.load.api, key_file, None, recipe.load.routing)
    about = {
        "engine": {"engine": engine.NAME, "model": recipe.model.name, "request": body},
        "launcher": recipe.launcher,
        "ready": asdict(max(ready, key=lambda one: one.seconds)),
        "nodes": [
            asdict(node) | {"ready": asdict(r)} for node, r in zip(wanted, ready, strict=True)
        ],
        "smoke": smoke.smoke(host, target).about(),
    }
    return target, about


def release(host: Host, run_id: str, stop_s: float = _STOP_S) -> None:
    """Have the run's nodes stop; nothing for a run that asked none.

    Raises:
        LaunchError: one does not: it goes on serving.
    """
    kept = host.ask(Command("cat", f"{host.path('engines', run_id)}/{FILE}"))
    if kept.exit_code != 0:
        return
    asked_for = [Node(**about) for about in json.loads(kept.stdout)]
    with ThreadPoolExecutor(len(asked_for)) as pool:
        troubles = list(pool.map(lambda node: _down(node, stop_s), asked_for))
    for trouble in filter(None, troubles):
        raise trouble


def _require_free(wanted: Sequence[Node]) -> None:
    """A node that is at work is somebody's: it would drop that without a word."""
    for node in wanted:
        state = node.state()
        if state == INFERENCE:
            raise LaunchError(
                f"The {node.name} serves already, for somebody else or a run that was not ended.",
                f"End that (`fab stop`, or POST {node.management_url}/api/v1/inference/down), or "
                f"load it as it is: `fab bench --url {node.inference_url}`.",
                host=node.management_url,
            )
        if state != STOPPED:
            raise LaunchError(
                f"The {node.name} is at work for its network (state {state}).",
                "Wait until it is free, or take it out of its network first.",
                host=node.management_url,
            )


def _all_up(
    wanted: Sequence[Node],
    body: dict[str, Any],
    recipe: Recipe,
    key: Secret | None,
    progress: Progress,
) -> list[Ready]:
    """All at the same time; the first that fails ends the wait for all."""

    def up(node: Node, over: threading.Event) -> Ready:
        return Wait(node, recipe.timeouts, progress.note, over).run(body, key)

    return list(at_once.all_or_none([partial(up, node) for node in wanted]))


def _down(node: Node, stop_s: float) -> DynoError | None:
    """None, too, where there is nothing of ours to stop any more."""
    with suppress(LaunchError):
        # STOPPED: our request may still be on its way, and it would serve when all is over.
        if node.state() not in {INFERENCE, STOPPED}:
            return None
    try:
        node.down(stop_s)
    except SilentError as error:
        return LaunchError(
            f"The {node.name} was not seen to stop: {error.what}",
            "While it starts vLLM it hears nothing else. It may go on serving: try `fab stop` "
            "later, or restart the node's container.",
            host=node.management_url,
        )
    except LaunchError as error:
        return error
    return None
