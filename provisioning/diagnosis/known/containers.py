"""Docker that cannot start the engine."""

from __future__ import annotations

from provisioning.diagnosis.failure import Failure
from provisioning.diagnosis.state import State


def _runtimes(state: State) -> str:
    if state.docker_runtimes is None:
        return ""
    return f"Docker's runtimes on the host: {', '.join(state.docker_runtimes)}."


FAILURES = (
    Failure(
        "nvidia-runtime-missing",
        "Docker does not know NVIDIA's runtime, so a container gets no GPU.",
        "Let it be set up (`host.toolkit` in the recipe, then `fab provision`); Docker has to be "
        "restarted after its installation.",
        ("NVIDIA/nvidia-docker#1682", "neuralmagic/nm-vllm#404"),
        (
            r"could not select device driver \"[^\"]*\" with capabilities: \[\[gpu",
            r"unknown or invalid runtime name: nvidia",
            r"nvidia-container-runtime(-hook)?\"?: executable file not found",
        ),
        detail=_runtimes,
    ),
    Failure(
        "gpu-not-in-container",
        "The container asks for a GPU that the host does not have (any more).",
        "Compare `nvidia-smi -L` on the host with the recipe; MIG slices get new UUIDs whenever "
        "they are made.",
        ("nvidia-container-cli device error", "NVIDIA CDI"),
        (
            r"nvidia-container-cli: device error: \S+: unknown device",
            r"unresolvable CDI devices",
        ),
    ),
    Failure(
        "wrong-architecture",
        "The image was built for another kind of processor.",
        "Take one for it: arm64 on a DGX Spark, amd64 elsewhere.",
        ("Linux ENOEXEC",),
        (r"exec format error",),
    ),
)
