"""What a host offers each instance of an engine, once it was made fit for the recipe."""

from __future__ import annotations

from dataclasses import replace

from provisioning import agent, models, placement
from provisioning.command import Secret
from provisioning.deploys import convert, model, python_env, serving
from provisioning.engines.base import Site, Weights
from provisioning.facts.python import Pythons, usable
from provisioning.host import Host
from provisioning.needs import Needs
from provisioning.pinned_image import pinned
from provisioning.recipe_schema import Recipe


def offers(host: Host, recipe: Recipe, needs: Needs, api_key: Secret) -> tuple[Site, ...]:
    """One for each instance; they differ by their GPUs alone.

    Raises:
        HostError: the host has not GPUs enough, or no Python.
    """
    container = recipe.engine.container
    site = Site(
        python=usable(host.fact(Pythons), host.name).path,
        agent=host.path("agent", agent.build().name),
        api_key=api_key,
        environment=python_env.path(needs) if needs.needs.python else None,
        weights=weights(host, needs),
        image=pinned(host, container.image) if container else None,
        gpu_env=placement.environment(host, needs),
        cache=serving.cache(needs) if needs.weights else None,
    )
    return tuple(replace(site, gpus=place) for place in placement.places(host, needs))


def weights(host: Host, needs: Needs) -> Weights | None:
    """The model on the host; None for an engine that reads none, and where there is none."""
    if made := convert.about(host, needs):
        return Weights(made["path"])
    about = model.about(host, needs)
    if not about:
        return None
    hub = models.of(needs)
    return Weights(about["path"], hub.home if hub else None, about.get("commit"))
