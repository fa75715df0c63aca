"""Engines in containers, from a bare host to a result at home; their keys; their ends."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from provisioning import agent as agents
from provisioning import engines, launch, launchers
from provisioning import recipe as recipes
from provisioning.command import Secret
from provisioning.engines.base import Site
from provisioning.host import Host
from provisioning.launchers.base import Handle
from provisioning.operations import agent as shipping
from tests.lab.host import LabHost
from tests.lab.lab import Lab
from tests.lab_tests.deploying import logged_in
from tests.lab_tests.stacks import LabStack

pytestmark = [pytest.mark.integration, pytest.mark.lab]

LAUNCHERS = ("docker_run", "compose")
MARKER = "planted0MARKER0that0nobody0may0see"
RUN = "20260101T000000Z-rehearsal-0a1b"
# Root sees every file that may hold it, and what every process was given; not this search itself.
_SEARCH = f"""\
m='{MARKER.replace("M", "[M]", 1)}'
grep -slr "$m" /home /tmp /var /run /dev/shm /root /etc
grep -sl "$m" /proc/[0-9]*/cmdline /proc/[0-9]*/environ"""
_NOBODY = f"runuser -u nobody -- sh -c {shlex.quote(_SEARCH)}"
# Docker's own, in folders for root alone. The database of containerd does not blank what it frees.
_DATABASE = "/var/lib/containerd/io.containerd.metadata.v1.bolt/meta.db"
_DOCKERS = re.compile(
    r"/var/lib/docker/containers/[0-9a-f]{64}/config\.v2\.json"
    r"|/run/containerd/\S+/moby/[0-9a-f]{64}/config\.json"
)


@pytest.fixture(scope="module")
def host(lab: Lab) -> Iterator[LabHost]:
    """A fresh one, with a GPU and without Docker."""
    made = lab.host(gpu="rtx-pro-6000x1")
    yield made
    lab.remove(made)


@pytest.fixture(scope="module")
def changes(lab: Lab) -> dict[str, Any]:
    """What makes the rehearsal one in a container that is given a GPU."""
    return {
        "engine.container.image": lab.image,
        "host.gpu": {"count": 1},
        "host.docker": {"source": "distribution", "insecure_registries": [lab.registry]},
        "host.toolkit": {
            "source": "mirror",
            "mirror": {"url": lab.archive_url, "trusted": True},
        },
    }


def overrides(changes: dict[str, Any]) -> list[str]:
    return [f"{key}={json.dumps(value)}" for key, value in changes.items()]


def asked(changes: dict[str, Any], launcher: str) -> list[str]:
    """Arguments of `fab`."""
    texts = overrides(changes | {"launcher": launcher})
    return ["--recipe", "rehearsal", *(part for text in texts for part in ("--set", text))]


def left(host: LabHost) -> list[str]:
    """Containers and networks of ours."""
    said = host.docker_exec("docker ps -aq --filter name=dyno-; docker network ls -qf name=dyno-")
    return said.split()


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_a_bench_ends_with_a_complete_result(
    host: LabHost, stack: LabStack, lab: Lab, changes: dict[str, Any], launcher: str
) -> None:
    """Whole, with the image's digest and the engine's log; nothing is left in Docker."""
    done = stack.fab("bench", "--json", *asked(changes, launcher))
    assert 0 == done.code, done.said
    folder = Path(json.loads(done.out)["results"])
    manifest = json.loads((folder / "manifest.json").read_text())["context"]
    container = manifest["engine"]["container"]
    assert (lab.image, launcher, []) == (
        container["image"],
        manifest["launcher"],
        container["gpus"],
    )
    assert "@sha256:" in lab.image
    log = (folder / "server.log").read_text()
    assert "Application startup complete." in log
    sums = (folder / "SHA256SUMS").read_text()
    assert {"manifest.json", "server.log", "summary.json", "telemetry.jsonl"} <= set(sums.split())
    assert [96] == [sum(p["completed"] for p in points(folder))]
    assert [] == left(host)


def points(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((folder / "summary.json").read_text())["points"]
    return found


@contextmanager
def started(
    host: LabHost,
    changes: dict[str, Any],
    launcher: str,
    restart: str = "no",
    gpus: tuple[str, ...] = (),
) -> Iterator[tuple[Host, Handle]]:
    """The engine of the recipe on a host that is fit for it, with the marker for its key."""
    made = recipes.load(
        "rehearsal", overrides(changes | {"launcher": launcher, "engine.restart": restart})
    )
    archive = agents.build()
    with logged_in(host) as there:
        there.apply(shipping.shipped, archive.name, archive.data)
        site = Site("python3", there.path("agent", archive.name), Secret(MARKER), gpus=gpus)
        spec = engines.load("simulator").spec(made, site)
        handle = launch.start(there, launchers.of(made), replace(spec, stop_grace_s=5), RUN)
        try:
            yield there, handle
        finally:
            launch.stop(there, RUN)


@pytest.fixture
def fit(host: LabHost, stack: LabStack, changes: dict[str, Any]) -> LabHost:
    """The host, provisioned for both launchers."""
    done = stack.fab("provision", *asked(changes, "compose"))
    assert 0 == done.code, done.said
    return host


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_the_key_is_in_the_allowed_places_only(
    fit: LabHost, changes: dict[str, Any], launcher: str
) -> None:
    """Our two files (0600), Docker's own of that container, and the environment of its process."""
    with started(fit, changes, launcher) as (_, handle):
        found = set(fit.docker_exec(_SEARCH, check=False).splitlines())
        strangers = fit.docker_exec(_NOBODY, check=False)
        modes = fit.docker_exec(f"cd {fit.workdir}/engines/{RUN}; stat -c '%a %U' env api-key")
    ours = {f"{fit.workdir}/engines/{RUN}/{name}" for name in ("env", "api-key")}
    assert (["600 dyno"] * 2, "") == (modes.splitlines(), strangers)
    assert ours | {f"/proc/{handle.pid}/environ"} <= found
    rest = found - ours - {f"/proc/{handle.pid}/environ", _DATABASE}
    assert rest
    assert [] == [path for path in rest if not _DOCKERS.fullmatch(path)]
    after = set(fit.docker_exec(_SEARCH, check=False).splitlines())
    assert ours == after - {_DATABASE}


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_the_gpu_that_is_chosen_reaches_the_container(
    fit: LabHost, changes: dict[str, Any], launcher: str
) -> None:
    """By its UUID."""
    chosen = fit.docker_exec("nvidia-smi --query-gpu=uuid --format=csv,noheader").strip()
    with started(fit, changes, launcher, gpus=(chosen,)):
        seen = fit.docker_exec(f"docker exec dyno-{RUN} nvidia-smi -L")
    assert [chosen] == re.findall(r"UUID: (GPU-[0-9a-f-]+)", seen)


@pytest.mark.parametrize("launcher", LAUNCHERS)
@pytest.mark.parametrize("restart", ["no", "always"])
def test_a_killed_engine_is_seen_as_ended(
    fit: LabHost, changes: dict[str, Any], launcher: str, restart: str
) -> None:
    """Also where Docker starts another one at once; all its lines are kept, nothing is left."""
    with started(fit, changes, launcher, restart) as (there, handle):
        alive = launch.alive(there, RUN)
        fit.docker_exec(f"kill -9 {handle.pid}")
        assert (True, False) == (alive, launch.alive(there, RUN))
        assert (restart == "always") == launch.stop(there, RUN)
        assert "Starting vLLM API server" in launch.log(there, RUN)
    assert [] == left(fit)


def test_the_plugin_does_what_the_older_program_does(
    fit: LabHost, lab: Lab, changes: dict[str, Any]
) -> None:
    """Where both are on a host, the plug-in is taken; container and network go in the end."""
    line = f"deb [trusted=yes] {lab.archive_url} ./"
    fit.write("/etc/apt/sources.list.d/plugin.list", f"{line}\n")
    fit.docker_exec("apt-get -qq update; apt-get -qq install -y docker-compose-plugin 2>&1")
    label = '{{index .Config.Labels "com.docker.compose.version"}}'
    with started(fit, changes, "compose") as (there, _):
        used = fit.docker_exec(f"docker inspect -f '{label}' dyno-{RUN}")
        seen = fit.docker_exec(f"docker exec dyno-{RUN} nvidia-smi -L")
        assert (True, 2) == (launch.alive(there, RUN), len(left(fit)))
    assert ("2.", 1, []) == (used[:2], seen.count("UUID: GPU-"), left(fit))
