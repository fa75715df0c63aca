"""Programs for GPUs that are missing, or do not work on these."""

from __future__ import annotations

from provisioning.diagnosis.failure import Failure

FAILURES = (
    Failure(
        "fp8-cutlass-on-gb10",
        "The FP8 kernels (CUTLASS) of this release do not work on this GPU (GB10, SM 12.1).",
        "Serve a model that was quantized beforehand, without `engine.args.quantization`; use "
        "NVIDIA's own image (nvcr.io/nvidia/vllm), or let another kernel take its place: "
        "`VLLM_DISABLED_KERNELS: CutlassFp8BlockScaledMMKernel` in `engine.env`.",
        ("vllm-project/vllm#40758", "vllm-project/vllm#43367", "eugr/spark-vllm-docker#143"),
        (
            r"cutlass_gemm_caller.*Error Internal",
            r"cutlass_scaled_mm.*(Error Internal|failed)",
            r"This kernel only supports sm120",
        ),
    ),
    Failure(
        "fp4-gemm-on-sm120",
        "The NVFP4 kernel (CUTLASS, of FlashInfer) does not work on this GPU.",
        "Take a newer image, or another kernel: `engine.args.linear_backend: marlin` (in older "
        "releases `VLLM_NVFP4_GEMM_BACKEND: marlin` in `engine.env`).",
        ("vllm-project/vllm#30163",),
        (r"\[FP4 gemm Runner\] Failed to run cutlass FP4 gemm",),
    ),
    Failure(
        "no-attention-backend",
        "None of the engine's attention kernels can do what this model needs on this GPU.",
        "Read the reasons in the message: leave `attention_backend` and `kv_cache_dtype` to the "
        "engine, or name one (`engine.args.attention_backend: TRITON_ATTN`; up to vLLM 0.13 "
        "`VLLM_ATTENTION_BACKEND` in `engine.env`); or take a newer release.",
        ("vLLM 0.32 vllm/platforms/cuda.py", "vllm-project/vllm#32732", "vllm-project/vllm#31936"),
        (
            r"No valid attention backend found for",
            r"Selected backend \S+ is not valid for this configuration",
        ),
    ),
    Failure(
        "ptxas-too-old",
        "Triton's assembler is older than this GPU.",
        "Point it to the one of CUDA 13: `TRITON_PTXAS_PATH: /usr/local/cuda/bin/ptxas` in "
        "`engine.env`; or take an image made for this GPU.",
        ("vllm-project/vllm#30163",),
        (r"ptxas fatal\s*: Value 'sm_\w+' is not defined for option 'gpu-name'",),
    ),
    Failure(
        "no-kernel-image",
        "This build of the engine has no code for this GPU.",
        "Take an image or package that was built for it.",
        ("CUDA error 209", "vllm-project/vllm#19185"),
        (r"no kernel image is available for execution on the device",),
    ),
    Failure(
        "illegal-memory-access",
        "A kernel read memory that is not its own: a fault in the engine's code, or of the GPU.",
        "Look at `sudo dmesg | grep -i xid` on the host; without a line there, try "
        "`engine.args.enforce_eager: true` or another release.",
        ("CUDA error 700", "vllm-project/vllm#52457"),
        (r"CUDA error: an illegal memory access was encountered",),
    ),
    Failure(
        "no-compiler",
        "Kernels are compiled when the engine starts, and a part of the compiler is missing.",
        "Install it: `host.packages: [gcc, python3-dev]`; for FlashInfer, the CUDA toolkit (nvcc).",
        ("triton runtime/build.py", "vllm-project/vllm#27890"),
        (
            r"Python\.h: No such file or directory",
            r"Failed to find C compiler\. Please specify via CC",
            r"Could not find nvcc and default cuda_home=",
        ),
    ),
    Failure(
        "library-missing",
        "A library that the engine was built with is not there.",
        "Make its environment anew with the packages that belong together (torch for the same "
        "CUDA), or use an image.",
        ("ld.so", "CPython import"),
        (
            r"ImportError: lib\S+\.so\S*: cannot open shared object file",
            r"ImportError: \S+: undefined symbol: ",
            r"ModuleNotFoundError: No module named '(vllm|torch|transformers|flashinfer)[.\w]*'",
        ),
    ),
    Failure(
        "illegal-instruction",
        "The engine used an instruction of the processor that this (virtual) machine does not "
        "have.",
        "On a CPU, `engine.args.dtype: float32`.",
        ("Linux SIGILL", "vLLM 0.32 vllm/v1/executor/multiproc_executor.py"),
        (r"died unexpectedly \(exit code: -4\)", r"Fatal Python error: Illegal instruction"),
        state=lambda state: next(
            (f"{one.engine} ended by SIGILL." for one in state.engines if one.signal == 4),
            state.said("invalid opcode"),
        ),
    ),
    Failure(
        "fp4-emulated",
        "The GPU cannot compute in FP4: weights are FP4, arithmetic is not (Marlin). Its speed "
        "is not that of FP4.",
        "Keep it in mind when precisions are compared.",
        ("vLLM 0.32 vllm/model_executor/kernels/linear/nvfp4/marlin.py", "vllm-project/vllm#31085"),
        (r"Your GPU does not have native support for FP4 computation",),
        severity="warning",
    ),
    Failure(
        "fp8-emulated",
        "The GPU cannot compute in FP8: weights are FP8, arithmetic is not (Marlin). Its speed "
        "is not that of FP8.",
        "Keep it in mind when precisions are compared.",
        ("vLLM 0.32 vllm/model_executor/layers/quantization/utils/marlin_utils_fp8.py",),
        (r"Your GPU does not have native support for FP8 computation",),
        severity="warning",
    ),
    Failure(
        "capability-12-1-warning",
        "PyTorch says that it was built for GPUs up to 12.0 and found a 12.1 (GB10): it works.",
        "Nothing.",
        (
            "eugr/spark-vllm-docker#15",
            "vllm-project/vllm#31588",
            "vLLM: Qwen3-32B-FP8 on NVIDIA DGX Spark",
        ),
        (r"which is of cuda capability 12\.1",),
        severity="harmless",
    ),
    Failure(
        "gpu-newer-than-torch",
        "PyTorch was built for older GPUs than this one, and may have no code for it.",
        "Take an image or package that was built for this GPU.",
        ("torch 2.10 torch/cuda/__init__.py",),
        (r"which is of cuda capability (?!12\.1\b)\d+\.\d+",),
        severity="warning",
    ),
)
