"""The simulator inside the agent: an OpenAI-compatible server that needs no GPU and no model."""

from __future__ import annotations

from provisioning.engines.base import API_KEY, PORT, ProcessSpec, Site, flags
from provisioning.recipe_schema import Recipe

READS_WEIGHTS = False


def spec(recipe: Recipe, site: Site) -> ProcessSpec:
    """Run the simulator from the agent's archive, on loopback, for the recipe's model."""
    return ProcessSpec(
        engine="simulator",
        model=recipe.model.name,
        argv=(
            *(site.python, "-I", "-S", site.agent, "simulate"),
            *("--host", "127.0.0.1", "--port", PORT, "--model", recipe.model.name),
            *flags({"max_model_len": recipe.model.max_model_len} | recipe.engine.args),
        ),
        env=recipe.engine.env,
        secret_env={API_KEY: site.api_key},
        port=recipe.engine.port,
        # Asks for the key, so that no other server on this port is taken for ours.
        ready_path="/v1/models",
        stop_grace_s=recipe.timeouts.stop_s,
    )
