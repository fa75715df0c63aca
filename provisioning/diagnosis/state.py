"""What a host tells of an engine beside its log: values, filled by `state_probe` there."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class GpuMemory:
    """A GPU; memory is None where the driver does not tell (GB10 shares the host's)."""

    index: int
    name: str
    used_mib: int | None = None
    total_mib: int | None = None


@dataclass(frozen=True)
class GpuProcess:
    """A process with memory on a GPU; `ours`: it belongs to the engine."""

    pid: int
    name: str
    used_mib: int | None = None
    ours: bool = False


@dataclass(frozen=True)
class Ended:
    """An instance of the engine by its id. What its launcher does not tell is None."""

    engine: str
    alive: bool
    exit_code: int | None = None
    signal: int | None = None
    oom_killed: bool | None = None
    restarts: int | None = None


@dataclass(frozen=True)
class State:
    """`smi_error`: what nvidia-smi said when it failed. `disks`: free bytes by folder.

    `docker_runtimes`: None without Docker. `kernel`: what the kernel said since the engine began
    of memory that ran out, of GPUs, of crashes. `hung`: the phase in which it was given up.
    """

    engines: tuple[Ended, ...] = ()
    gpus: tuple[GpuMemory, ...] = ()
    gpu_processes: tuple[GpuProcess, ...] = ()
    smi_error: str = ""
    disks: dict[str, int] = field(default_factory=dict)
    memory_free_mib: int | None = None
    docker_runtimes: tuple[str, ...] | None = None
    kernel: tuple[str, ...] = ()
    hung: str = ""

    def others_on_gpus(self) -> str:
        """Who else has memory there, as a sentence; empty when nobody has."""
        others = [p for p in self.gpu_processes if not p.ours]
        if not others:
            return ""
        named = [f"{p.name} (process {p.pid}, {p.used_mib or '?'} MiB)" for p in others]
        return f"On the GPUs there are also: {', '.join(named)}."

    def said(self, word: str) -> str:
        """The first line of the kernel with *word*; empty when there is none."""
        return next((line for line in self.kernel if word in line), "")
