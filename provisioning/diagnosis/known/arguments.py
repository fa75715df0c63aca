"""What the engine was asked for and cannot do."""

from __future__ import annotations

from provisioning.diagnosis.failure import Failure

FAILURES = (
    Failure(
        "context-beyond-model",
        "A longer context was asked for than the model was made for.",
        "Lower `model.max_model_len` (the message names the longest), or set up YaRN as the "
        "model's page says.",
        ("vLLM 0.32 vllm/config/model.py",),
        (r"User-specified max_model_len \(\d+\) is greater than the derived max_model_len",),
    ),
    Failure(
        "heads-not-divisible",
        "The model's attention heads cannot be divided by that many GPUs.",
        "Choose `layout.tensor_parallel` so that it divides the number of heads in the message; "
        "use the other GPUs by `layout.pipeline_parallel` or `layout.instances`.",
        ("vLLM 0.32 vllm/config/model.py",),
        (r"attention heads \(\d+\) must be divisible by tensor parallel size",),
    ),
    Failure(
        "more-gpus-than-there-are",
        "More GPUs were asked for than the engine can see.",
        "Lower `layout.tensor_parallel` times `layout.pipeline_parallel`, or take a larger "
        "machine; in a container, see that it was given all GPUs.",
        ("vLLM 0.32 vllm/config/parallel.py",),
        (
            r"World size \(\d+\) is larger than the number of available GPUs",
            r"CUDA error: invalid device ordinal",
        ),
    ),
    Failure(
        "quantization-unknown",
        "The engine knows no quantization of that name.",
        "Leave `engine.args.quantization` out: the engine reads it from the model.",
        ("vLLM 0.32 vllm/config/model.py",),
        (r"Unknown quantization method: ", r"argument --quantization/-q: invalid choice"),
    ),
    Failure(
        "quantization-mismatch",
        "The model was quantized in another way than the recipe says, or not at all.",
        "Leave `engine.args.quantization` out: the engine reads it from the model.",
        ("vLLM 0.32 vllm/config/model.py",),
        (
            r"Quantization method specified in the model config .* does not match",
            r"Cannot find the config file for \w+",
        ),
    ),
    Failure(
        "quantization-not-for-this-gpu",
        "The GPU is too old for that quantization, or is none that has it.",
        "Take another precision, or a newer GPU; the message names the least compute capability "
        "(an L40S has 8.9, an RTX PRO 6000 12.0).",
        ("vLLM 0.32 vllm/config/vllm.py", "vLLM 0.32 vllm/platforms/interface.py"),
        (
            r"quantization method \S+ is not supported for the current GPU",
            r"\w+ quantization is currently not supported in",
        ),
    ),
    Failure(
        "argument-unknown",
        "The engine does not know one of its arguments; its release may be another than the "
        "recipe is for.",
        "Correct `engine.args` of the recipe, or take the release that it names.",
        ("vLLM 0.32 vllm/utils/argparse_utils.py",),
        (r"^[\w./-]+(?: \w+)?: error: (?:unrecognized arguments: |argument -)",),
    ),
    Failure(
        "port-in-use",
        "Somebody listens on the engine's port already.",
        "Let a free one be found (`--set engine.port=null`), or end what listens there.",
        ("Linux EADDRINUSE", "vLLM 0.32 vllm/entrypoints/launchers/api_server/entry.py"),
        (
            r"\[Errno 98\] ([Ee]rror while attempting to bind|Address already in use)",
            r"\bport \d+ is in use\b",
            r"[Bb]ind for \S+:\d+ failed: port is already allocated",
        ),
    ),
    Failure(
        "base-url-with-v1",
        "Requests go to …/v1/v1/…: the client's base URL ends with /v1, and it adds that itself.",
        "Give the address without /v1 at its end.",
        ("the access log of uvicorn", "Qwen3-32B on an RTX PRO 6000 in three precisions, 3.4"),
        (r'"(GET|POST) /v1/v1/\S+ HTTP/1\.[01]" 404',),
    ),
    Failure(
        "no-chat-template",
        "Chat was asked of a model whose tokenizer has no template for it.",
        "Use `load.api: completions`, or give one by `engine.args.chat_template`.",
        ("transformers tokenization_utils_base.py",),
        (
            r"default chat template is no longer allowed",
            r"tokenizer\.chat_template is not set and no template argument was passed",
        ),
    ),
)
