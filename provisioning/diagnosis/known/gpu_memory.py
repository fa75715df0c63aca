"""Memory of GPUs that is not there, in the several places where that shows."""

from __future__ import annotations

from provisioning.diagnosis.failure import SERVING, Failure
from provisioning.diagnosis.state import State

_OUT_OF_MEMORY = (
    r"(torch\.(cuda\.)?)?OutOfMemoryError: (CUDA|HIP) out of memory",
    r"RuntimeError: CUDA error: out of memory",
)
_UTILIZATION = "`--set engine.args.gpu_memory_utilization=0.85`"


def _others(state: State) -> str:
    return state.others_on_gpus()


FAILURES = (
    Failure(
        "gpu-memory-taken",
        "Less memory is free on the GPU than the engine was told to take of it.",
        f"End what else uses the GPU (`nvidia-smi` on the host), or take less: {_UTILIZATION}.",
        ("vLLM 0.32 vllm/v1/worker/utils.py", "vllm-project/vllm#20305"),
        (
            r"Free memory on device .* is less than desired GPU memory utilization",
            r"Free memory on device .* is less than the engine's budget",
        ),
        detail=_others,
    ),
    Failure(
        "gpu-memory-changed",
        "While the engine measured the GPU's memory, somebody else gave memory back.",
        "Start it again, with nothing else on its GPUs.",
        ("vLLM 0.32 vllm/v1/worker/gpu_worker.py",),
        (r"Error in memory profiling\. ?(Initial free memory|.*current free memory)",),
        detail=_others,
    ),
    Failure(
        "no-memory-for-kv-cache",
        "After the weights, no memory is left for the KV cache.",
        "Spread the model over more GPUs (`layout.tensor_parallel`), take a smaller precision, or "
        "let it have more of the GPU (`engine.args.gpu_memory_utilization`).",
        ("vLLM 0.32 vllm/v1/core/kv_cache_utils.py", "vllm-project/vllm#2248"),
        (r"No available memory for the cache blocks",),
    ),
    Failure(
        "context-beyond-kv-cache",
        "The KV cache that fits has no room for one request of the longest context.",
        "Lower `model.max_model_len`; the message names the longest that fits.",
        ("vLLM 0.32 vllm/v1/core/kv_cache_utils.py",),
        (
            r"To serve at least one request with the model's max seq len",
            r"The model's max seq len \(\d+\) is larger than the maximum number of tokens",
        ),
    ),
    Failure(
        "out-of-memory-weights",
        "The weights do not fit into the memory of the GPUs.",
        "Spread the model over more GPUs (`layout.tensor_parallel`), or take a smaller precision.",
        ("torch OutOfMemoryError", "vllm-project/vllm#39788"),
        _OUT_OF_MEMORY,
        phases=("start", "weights"),
        detail=_others,
    ),
    Failure(
        "out-of-memory-profiling",
        "The first run of the model, of as many tokens as may be in one step, ran out of memory.",
        "Lower `engine.args.max_num_batched_tokens` or `engine.args.max_num_seqs`.",
        ("torch OutOfMemoryError", "vllm-project/vllm#19186"),
        _OUT_OF_MEMORY,
        phases=("compile", "kv_cache"),
        detail=_others,
    ),
    Failure(
        "out-of-memory-sampler",
        "The sampler's first run, of as many requests as may run at once, ran out of memory.",
        f"Lower `engine.args.max_num_seqs`, or leave more free: {_UTILIZATION}.",
        ("vLLM 0.32 vllm/v1/worker/gpu_model_runner.py",),
        (r"CUDA out of memory occurred when warming up (sampler|pooler)",),
    ),
    Failure(
        "out-of-memory-graphs",
        "The capture of CUDA graphs, which lies on top of the KV cache, ran out of memory.",
        f"Leave it room: {_UTILIZATION}; or capture fewer sizes "
        "(`engine.args.cudagraph_capture_sizes`).",
        ("torch OutOfMemoryError", "vllm-project/vllm#57475"),
        _OUT_OF_MEMORY,
        phases=("graphs",),
        detail=_others,
    ),
    Failure(
        "out-of-memory-serving",
        "The engine ran out of GPU memory while it served requests.",
        f"Leave it room: {_UTILIZATION}; or lower `engine.args.max_num_batched_tokens`.",
        ("torch OutOfMemoryError", "vllm-project/vllm#27194"),
        _OUT_OF_MEMORY,
        phases=("serve", SERVING),
        detail=_others,
    ),
)
