"""nginx in front of several engines of one run: a process of ours, on the host's loopback."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from provisioning import launch, readiness
from provisioning.engines.base import PORT, ProcessSpec
from provisioning.host import Host
from provisioning.launchers import process
from provisioning.launchers.base import File, Handle, Runs
from provisioning.recipe_schema import Timeouts
from provisioning.render import render

CONFIG = "nginx.conf"
_STOP_S = 5.0
_READY_S = 20.0
# Its port is known on the host alone. Older ones cannot be told to leave /var/log alone, and say
# that they may not write there.
_RUN = """
sed "s/{port}/$1/" nginx.conf >ours.conf || exit
nginx=$(PATH=$PATH:/usr/sbin; command -v nginx) || { echo "nginx is not installed"; exit 127; }
set -- -p "$PWD/" -c ours.conf
! "$nginx" -h 2>&1 | grep -q '^ *-e ' || set -- -e stderr "$@"
exec "$nginx" "$@"
"""


@dataclass
class Launcher:
    """Starts it as a process, its configuration beside it."""

    config: str
    RUNS: Runs = "process"

    def files(self, spec: ProcessSpec, run_id: str) -> tuple[File, ...]:
        """What is written to the host; see `launchers.base.Launcher`."""
        return (*process.files(spec, run_id), File(CONFIG, self.config))


def start(
    host: Host, run_id: str, engines: Sequence[Handle], model: str, port: int | None
) -> Handle:
    """Start nginx over *engines*, and wait until they answer through it.

    Raises:
        LaunchError: it does not start, or its port is in use.
    """
    first = engines[0]
    launcher = Launcher(config([engine.port for engine in engines], run_id))
    started = launch.start(host, launcher, spec(model, port), launch.front_id(run_id))
    handle = replace(started, ready_path=first.ready_path, api_key_file=first.api_key_file)
    readiness.wait(host, handle, Timeouts(ready_s=_READY_S))
    return handle


def spec(model: str, port: int | None) -> ProcessSpec:
    """Nginx as something that is started and stopped; it knows no key."""
    return ProcessSpec(
        engine="nginx",
        model=model,
        argv=("/bin/sh", "-c", _RUN, "nginx", PORT),
        port=port,
        stop_grace_s=_STOP_S,
    )


def config(ports: Sequence[int], run_id: str) -> str:
    """Its configuration, pure; ``{port}`` in it is replaced on the host."""
    return render(f"{CONFIG}.j2", ports=ports, run_id=run_id, workers=max(2, len(ports)))
