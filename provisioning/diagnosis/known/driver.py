"""The driver, and GPUs that are not seen."""

from __future__ import annotations

from provisioning.diagnosis.failure import Failure
from provisioning.diagnosis.state import State

_LOST = ("Xid", "fallen off the bus")


def _mismatch(state: State) -> str:
    said = state.smi_error
    return said if "version mismatch" in said else state.said("API mismatch")


def _xid(state: State) -> str:
    return next((line for word in _LOST if (line := state.said(word))), "")


FAILURES = (
    Failure(
        "driver-mismatch",
        "The driver was upgraded while the old one was loaded: its parts do not fit together.",
        "Reboot the host.",
        ("NVML_ERROR_LIB_RM_VERSION_MISMATCH", "NVIDIA/nvidia-container-toolkit#394"),
        (
            r"Driver/library version mismatch",
            r"nvml error: driver/library version mismatch",
        ),
        state=_mismatch,
    ),
    Failure(
        "driver-too-old",
        "The host's driver is older than the CUDA that the engine was built with.",
        "Take a newer driver (`host.gpu.driver`), or an image for an older CUDA.",
        ("torch c10/cuda/CUDAFunctions.cpp", "vllm-project/vllm#4940", "gpustack/gpustack#1254"),
        (
            r"The NVIDIA driver on your system is too old",
            r"CUDA driver version is insufficient for CUDA runtime version",
            r"forward compatibility was attempted on non supported HW",
            r"nvidia-container-cli: requirement error: unsatisfied condition: cuda",
        ),
    ),
    Failure(
        "fabric-manager-missing",
        "The GPUs are joined by NVSwitch, and the program that sets it up does not run.",
        "Install and start nvidia-fabricmanager of the driver's own version on the host.",
        ("CUDA error 802", "gpustack/gpustack#1254"),
        (r"Error 802: system not yet initialized", r"CUDA error: system not yet initialized"),
    ),
    Failure(
        "mig-by-uuid",
        "This release of vLLM does not understand a GPU that is named by its UUID (a MIG slice).",
        'Set `CUDA_VISIBLE_DEVICES: "0"` in `engine.env`, use a container, which sees its slice as '
        "GPU 0, or take a newer release.",
        ("vllm-project/vllm#41848", "vllm-project/vllm#6551"),
        (r"invalid literal for int\(\) with base 10: '(MIG|GPU)-",),
    ),
    Failure(
        "no-gpu-seen",
        "The engine sees no GPU.",
        "See that `nvidia-smi` works on the host; a container needs NVIDIA's runtime "
        "(`host.toolkit`), and a MIG slice has to exist before it can be named.",
        ("vLLM 0.32 vllm/config/device.py", "torch/cuda/__init__.py"),
        (
            r"Failed to infer device type",
            r"No CUDA GPUs are available",
            r"Found no NVIDIA driver on your system",
            r"CUDA error: no CUDA-capable device is detected",
        ),
    ),
    Failure(
        "gpu-lost",
        "A GPU of the host failed: the driver reported it (Xid).",
        "Reboot the host; if it comes again, take another machine: this one has a fault.",
        ("NVIDIA Xid catalogue",),
        (r"GPU is lost", r"GPU has fallen off the bus", r"CUDA error: uncorrectable ECC error"),
        state=_xid,
    ),
)
