"""Nothing that a recipe contains can run a command: every engine, launcher and string field.

All fields that take a text at all are filled with it at once, and the engine is started by the
launcher's own script, with stand-ins for all that would start it. Each is written back as it is.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from provisioning import engines, launchers, named
from provisioning.command import Secret
from provisioning.engines.base import PORT, ProcessSpec, Site, Weights
from provisioning.errors import UsageError
from provisioning.recipe_schema import Recipe
from tests.provisioning.launchers import fake_docker
from tests.provisioning.launchers.test_containers import Engine, content, until

CANARY = "canary"
LINE = (
    f"a'b\"c; touch {CANARY}; $(touch {CANARY}) `touch {CANARY}` ${{HOME}} $HOME %n %% %i \\ \\n"
    f" {{{{ 7*7 }}}} {{% raw %}} {{# x #}} # & touch {CANARY} | > < * ~ ! - : @ é 😀 \\"
)
LINES = f"first\n'; touch {CANARY}; '\n\"\nExecStartPre=/bin/touch {CANARY}\n- x: &y !!z\n{LINE}\n"
#: Where a recipe holds text that reaches an engine, by its path.
FIELDS = (
    ("model", "name"),
    ("model", "path"),
    ("model", "revision"),
    ("engine", "command"),
    ("engine", "args"),
    ("engine", "args", "names"),
    ("engine", "env"),
    ("engine", "container", "image"),
    ("engine", "container", "entrypoint"),
    ("engine", "container", "runtime"),
    ("engine", "container", "shm_size"),
    ("engine", "container", "cache"),
    ("engine", "restart"),
)
#: Launchers that write a script to a host.
NAMES = [name for name in named.names(launchers) if launchers.load(name).RUNS != "node"]
pytestmark = pytest.mark.integration


def bare(engine: str, launcher: str) -> dict[str, Any]:
    """A recipe that fits both."""
    contained = launchers.load(launcher).RUNS == "container"
    return {
        "description": "x",
        "model": {"name": "m"},
        "engine": {"name": engine, "container": {"image": "i/i"} if contained else None},
        "launcher": launcher,
        "load": {"points": [{"num_prompts": 1, "request_rate": "inf"}]},
    }


def put(said: dict[str, Any], path: tuple[str, ...], text: str) -> None:
    """Put *text* there, in all ways that the field has room for."""
    values: dict[str, Any] = {
        "command": ["/bin/x", text],
        "args": {"x1": text, "x2": [text, "y"], "x3": {text: [text]}},
        "env": {"A": text, "NO": text},
        "path": f"/{text}",
        "cache": f"/{text}",
    }
    if path[-1] == "names":
        args = said["engine"].setdefault("args", {})
        args[text] = text
        return
    for key in path[:-1]:
        said[key] = said = said.get(key) or {}
    said[path[-1]] = values.get(path[-1], text)


def made(said: dict[str, Any]) -> ProcessSpec:
    """The engine's spec.

    Raises:
        UsageError, ValidationError: it is refused.
    """
    recipe = Recipe.named("x", said)
    weights = Weights(recipe.model.path) if recipe.model.path else None
    site = Site("/bin/x", "/a", Secret("key"), environment="/e", weights=weights)
    spec = engines.load(recipe.engine.name).spec(recipe, site)
    launchers.of(recipe).files(spec, "RUN")
    return spec


def filled(engine: str, launcher: str, text: str) -> tuple[ProcessSpec, list[str]]:
    """The spec with *text* in all fields that take it; which those are."""
    said, taken = bare(engine, launcher), []
    for path in FIELDS:
        tried = json.loads(json.dumps(said))
        put(tried, path, text)
        try:
            made(tried)
        except (UsageError, ValidationError):
            continue
        said = tried
        taken.append(".".join(path))
    return made(said), taken


@pytest.fixture
def place(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Engine]:
    one = Engine(tmp_path, request.param)
    for name in ("systemctl", "systemd-run", "loginctl", "journalctl", "systemd-analyze"):
        path = tmp_path / "bin" / name
        path.write_text("#!/bin/sh\nexit 0\n")
        path.chmod(0o755)
    yield one
    subprocess.run([tmp_path / "bin/docker", "rm"], env=one.env, check=True)


@pytest.mark.parametrize("place", NAMES, indirect=True)
@pytest.mark.parametrize("engine", ["simulator", "vllm"])
@pytest.mark.parametrize("text", [LINE, LINES], ids=["line", "lines"])
def test_no_text_of_a_recipe_is_a_command(place: Engine, engine: str, text: str) -> None:
    """The script is begun and does what it does: nothing that a text says has happened."""
    spec, taken = filled(engine, place.launcher, text)
    assert {"model.name", "engine.args", "engine.env"} <= set(taken)
    words = spec.argv
    spec = writing(spec)
    place.write(spec)
    for path in place.folder.glob("*.sh"):
        assert 0 == subprocess.run(["sh", "-n", path], check=False).returncode
    said = place.folder / "seen"
    done = place.call("start", FAKE_WAIT="1", WRITE=str(said))
    if place.launcher in STARTED:
        assert 0 == done.returncode, done.stderr
        until(said.exists)
    place.call("stop")
    assert [] == list(place.folder.parent.rglob(CANARY))
    if place.launcher in STARTED:
        seen = json.loads(said.read_text())
        assert [seen["port"] if word == PORT else word for word in words] == seen["argv"]
        assert dict(spec.env) == {key: seen["env"][key] for key in spec.env}


def writing(spec: ProcessSpec) -> ProcessSpec:
    """The same, but that it only writes down which words and which environment it was given."""
    if spec.container is None:
        return replace(spec, argv=(sys.executable, "-c", _WRITE, *spec.argv))
    container = replace(
        spec.container, image=fake_docker.IMAGE, mounts=(), entrypoint=sys.executable
    )
    return replace(spec, argv=("-c", _WRITE, *spec.argv), container=container)


#: Launchers whose engines the stand-ins really start.
STARTED = ("process", "docker_run", "compose")
_WRITE = """
import json, os, sys
argv = sys.argv[1:]
port = argv[argv.index("--port") + 1] if "--port" in argv else ""
made = json.dumps({"argv": argv, "env": dict(os.environ), "port": port})
new = os.environ["WRITE"] + ".new"
open(new, "w").write(made)
os.rename(new, os.environ["WRITE"])
"""


@pytest.mark.parametrize("launcher", NAMES)
def test_text_stays_in_its_place(launcher: str) -> None:
    """Templates are not filled twice, and no file has a line that a text has begun."""
    spec, _ = filled("simulator", launcher, LINES)
    for file in launchers.load(launcher).files(spec, "RUN"):
        text = content(file)
        assert "49" not in text
        assert file.name in {"engine.sh", "env"} or "\nExecStartPre=/bin/touch" not in text


@pytest.mark.parametrize("launcher", NAMES)
def test_a_nul_character_is_refused(launcher: str) -> None:
    """No command and no file of environment can hold it."""
    said = bare("simulator", launcher)
    said["engine"]["args"] = {"x1": "b\0c"}
    with pytest.raises((UsageError, ValidationError), match=r"NUL|control"):
        made(said)
