"""Several GPUs that do not get on with each other."""

from __future__ import annotations

import re

from provisioning.diagnosis.failure import Failure
from provisioning.diagnosis.state import State

_IB = re.compile(r"segfault|general protection|traps:", re.IGNORECASE)


def _gave_up(state: State) -> str:
    return f"It was given up in phase {state.hung}." if state.hung else ""


def _hung(state: State) -> str:
    waits = state.hung and state.hung != "weights" and len(state.gpus) > 1
    return f"It was given up in phase {state.hung}." if waits else ""


def _crashed(state: State) -> str:
    said = next((line for line in state.kernel if _IB.search(line)), "")
    if said:
        return said
    named = [one.engine for one in state.engines if one.signal == 11 or one.exit_code == 139]
    return f"{named[0]} ended by SIGSEGV." if named else ""


FAILURES = (
    Failure(
        "p2p-hang",
        "The GPUs wait for each other for ever: copies from one to another over PCIe (P2P) do not "
        "arrive, as happens with the IOMMU or ACS switched on.",
        "Set `NCCL_P2P_DISABLE: 1` in `engine.env` (and `disable_custom_all_reduce: true` in "
        "`engine.args`), or switch IOMMU and ACS off in the firmware.",
        (
            "NVIDIA/nccl#1999",
            "local-inference-lab/rtx6kpro#15",
            "vllm-project/vllm#33041",
            "vllm-project/vllm#42063",
        ),
        (
            r"vLLM is using nccl==",
            r"NCCL INFO .* Init COMPLETE",
            r"No available shared memory broadcast block found",
            r"Watchdog caught collective operation timeout",
        ),
        state=_hung,
        both=True,
        detail=_hung,
    ),
    Failure(
        "collective-timeout",
        "One of the GPUs' processes did not come to a common step in time.",
        "See what the others say before; if they all wait, it is P2P: `NCCL_P2P_DISABLE: 1` in "
        "`engine.env`.",
        ("torch ProcessGroupNCCL", "vllm-project/vllm#5484"),
        (r"Watchdog caught collective operation timeout",),
        severity="consequence",
    ),
    Failure(
        "workers-wait",
        "A process of the engine waited for minutes for another one, which hung or had much to do.",
        "If it compiled or loaded for that long, raise the deadline of that phase.",
        ("vLLM 0.32 vllm/distributed/device_communicators/shm_broadcast.py",),
        (r"No available shared memory broadcast block found",),
        state=_gave_up,
        both=True,
        severity="consequence",
    ),
    Failure(
        "custom-all-reduce-crash",
        "The engine's own all-reduce failed: it shares memory between GPUs in a way that these, "
        "or PyTorch's expandable segments, do not allow.",
        "Set `disable_custom_all_reduce: true` in `engine.args`, or take "
        "`expandable_segments:True` out of PYTORCH_CUDA_ALLOC_CONF.",
        ("vllm-project/vllm#42609", "vllm-project/vllm#47266", "vllm-project/vllm#9046"),
        (r"custom_all_reduce\.cuh:\d+ '",),
    ),
    Failure(
        "custom-all-reduce-off",
        "The GPUs are joined by PCIe alone, so the engine's own all-reduce is off and NCCL's is "
        "used: it works, more slowly.",
        "Say so in the recipe (`disable_custom_all_reduce: true`), so that it is the same on "
        "every machine.",
        ("vLLM 0.32 vllm/distributed/device_communicators/custom_all_reduce.py",),
        (
            r"Custom allreduce is disabled because it's not supported on more than two PCIe-only",
            r"Custom allreduce is disabled because your platform lacks GPU P2P capability",
        ),
        severity="warning",
    ),
    Failure(
        "nccl-network-crash",
        "NCCL crashed as it looked for network cards: it does not get on with this one's driver "
        "(Broadcom, bnxt_re).",
        "Set `NCCL_IB_DISABLE: 1` in `engine.env`; one machine needs no InfiniBand.",
        ("NCCL 2.28.9 with bnxt_re, InferenceX",),
        (r"bnxt_re",),
        state=_crashed,
        both=True,
        detail=_crashed,
    ),
    Failure(
        "nccl-error",
        "NCCL, which joins the GPUs, failed.",
        "Set `NCCL_DEBUG: INFO` in `engine.env` and start again: it then says why.",
        ("torch NCCLUtils.hpp", "vllm-project/vllm#6732"),
        (r"NCCL error: ", r"NCCL error in: .*unhandled", r"ncclUnhandledCudaError"),
        severity="consequence",
    ),
)
