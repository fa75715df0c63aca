"""An engine as a plain detached process: for hosts without systemd or Docker."""

from __future__ import annotations

from provisioning.engines.base import ProcessSpec
from provisioning.launchers.base import File, Runs, key_file, script, shell_environment

RUNS: Runs = "process"


def files(spec: ProcessSpec, run_id: str) -> tuple[File, ...]:
    """What is written to the host; see `Launcher.files`."""
    return (script("process.sh.j2", spec, run_id), shell_environment(spec), *key_file(spec))
