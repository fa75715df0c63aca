"""The simulator inside the agent: an OpenAI-compatible server that needs no GPU and no model."""

from __future__ import annotations

from provisioning.engines.base import API_KEY, PORT, Container, Mount, ProcessSpec, Site, flags
from provisioning.recipe_schema import Recipe

READS_WEIGHTS = False
#: Where a container finds the agent, and which program of its image runs it.
AGENT, PYTHON = "/opt/llm-dyno/agent.pyz", "python3"


def spec(recipe: Recipe, site: Site) -> ProcessSpec:
    """Run the simulator from the agent's archive, for the recipe's model.

    On loopback; in a container any image with a Python will do, and its network is its own.
    """
    container = _container(recipe, site)
    python = f"{site.environment}/bin/python" if site.environment else site.python
    program = ("-I", "-S", AGENT) if container else (python, "-I", "-S", site.agent)
    return ProcessSpec(
        engine="simulator",
        model=recipe.model.name,
        argv=(
            *(*program, "simulate", "--host", "0.0.0.0" if container else "127.0.0.1"),  # noqa: S104 - published on loopback
            *("--port", PORT, "--model", recipe.model.name),
            *flags({"max_model_len": recipe.model.max_model_len} | recipe.engine.args),
        ),
        env={**site.gpu_env, **recipe.engine.env},
        secret_env={API_KEY: site.api_key},
        port=recipe.engine.port,
        # Asks for the key, so that no other server on this port is taken for ours.
        ready_path="/v1/models",
        stop_grace_s=recipe.timeouts.stop_s,
        restart=recipe.engine.restart,
        limits=dict(recipe.host.limits.items()),
        container=container,
    )


def _container(recipe: Recipe, site: Site) -> Container | None:
    asked = recipe.engine.container
    if asked is None:
        return None
    return Container(
        image=site.image or asked.image,
        entrypoint=asked.entrypoint or PYTHON,
        mounts=(Mount(site.agent, AGENT, read_only=True),),
        # It needs none, but shows whether those that the recipe asks for reach a container.
        gpus=site.gpus if recipe.host.gpu else None,
        runtime=asked.runtime,
        ipc_host=asked.ipc_host,
        shm_size=asked.shm_size,
    )
