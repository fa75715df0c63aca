"""Memory and room of the host that are not there."""

from __future__ import annotations

from provisioning.diagnosis.failure import Failure
from provisioning.diagnosis.state import State

_LITTLE = 1 << 30
_SPARK = "GB10"


def _killed(state: State) -> str:
    if state.engines and all(one.alive for one in state.engines):
        return ""  # it was somebody else
    said = state.said("Killed process") or state.said("oom-kill:")
    if said:
        return said
    named = [one.engine for one in state.engines if one.oom_killed]
    return f"{named[0]} was killed for memory (OOMKilled)." if named else ""


def _killed_on_host(state: State) -> str:
    return "" if _shares_memory(state) else _killed(state)


def _killed_on_spark(state: State) -> str:
    if not _shares_memory(state):
        return ""
    return _killed(state) or state.said("NV_ERR_NO_MEMORY")


def _shares_memory(state: State) -> bool:
    return any(_SPARK in gpu.name for gpu in state.gpus)


def _full(state: State) -> str:
    full = [f"{path}: {free >> 20} MiB" for path, free in state.disks.items() if free < _LITTLE]
    return f"Free: {', '.join(full)}." if full else ""


FAILURES = (
    Failure(
        "host-out-of-memory",
        "The kernel ended a process of the engine, for the host's memory had run out.",
        "Take a machine with more memory, or give the engine less of it "
        "(fewer instances, no `engine.args.cpu_offload_gb`).",
        ("Linux mm/oom_kill.c", "LMCache/LMCache#4759"),
        state=_killed_on_host,
    ),
    Failure(
        "unified-memory-exhausted",
        "GPU and host share their memory (GB10), and together they had none left.",
        "Leave the system its part: `--set engine.args.gpu_memory_utilization=0.7`, and end what "
        "else runs there.",
        ("eugr/spark-vllm-docker#321", "vllm-project/vllm#46307", "vllm-project/vllm#56824"),
        state=_killed_on_spark,
    ),
    Failure(
        "shared-memory-too-small",
        "The container's /dev/shm is too small for what the GPUs' processes exchange (NCCL).",
        "Set `engine.container.ipc_host: true`, or `engine.container.shm_size: 16g`.",
        ("NVIDIA/nccl#342", "vllm-project/vllm#1710"),
        (
            r"Error while creating shared memory segment",
            r"[Ff]ailed to (extend|open) /dev/shm/",
            r"unable to (allocate|write|resize) shared memory|No space left on device.*/dev/shm",
            r"unexpected bus error encountered in worker.*shared memory",
        ),
    ),
    Failure(
        "disk-full",
        "There is no room left on a disk of the host.",
        "Make room there (first see `df -h` and `docker system df`; then `docker image prune`, "
        "models that are no longer served), or ask for a data disk (`host.data_disk` in the "
        "recipe).",
        ("Linux ENOSPC", "huggingface/huggingface_hub#2742"),
        (r"^(?!.*(/dev/shm|shared memory|posix_fallocate)).*No space left on device",),
        detail=_full,
    ),
    Failure(
        "too-many-open-files",
        "The engine may not open as many files as it has connections.",
        "Raise the limit: `host.limits.nofile: 1048576` in the recipe.",
        ("vLLM 0.32 vllm/utils/system_utils.py",),
        (r"(?<!like `)OSError: \[Errno 24\]", r"^socket\.accept\(\) out of system resource"),
    ),
)
