"""Models that cannot be had, read, or understood."""

from __future__ import annotations

from provisioning.diagnosis.failure import Failure

FAILURES = (
    Failure(
        "model-gated",
        "The model is given only to those who asked its owners for it.",
        "Ask for access on the model's page, and set HF_TOKEN to a token of that account.",
        ("huggingface_hub GatedRepoError", "ray-project/ray#54812"),
        (r"GatedRepoError", r"Cannot access gated repo", r"trying to access a gated repo"),
    ),
    Failure(
        "model-not-found",
        "There is no model of that name, at least not for us.",
        "Check `model.name` (or the folder `model.path`); a private one needs HF_TOKEN.",
        ("huggingface_hub RepositoryNotFoundError", "vLLM 0.32 vllm/transformers_utils/config.py"),
        (
            r"RepositoryNotFoundError",
            r"is not a local folder and is not a valid model identifier",
            r"RevisionNotFoundError",
            r"Repo id must (be in the form|use alphanumeric)",
        ),
    ),
    Failure(
        "model-not-in-cache",
        "The engine runs offline, and the model is not (whole) where it looks for it.",
        "Let it be downloaded (`fab provision`), and leave HF_HOME of the recipe alone.",
        ("huggingface_hub LocalEntryNotFoundError", "vLLM 0.32 vllm/transformers_utils/config.py"),
        (
            r"LocalEntryNotFoundError",
            r"OfflineModeIsEnabled",
            r"outgoing traffic has been disabled",
            r"couldn't connect to 'https?://\S+' to load the files",
            r"Cannot (find|reach) .* offline mode is enabled",
        ),
    ),
    Failure(
        "weights-incomplete",
        "A file of the weights is torn: its download was cut off.",
        "Run `fab provision`: files of a wrong size are fetched anew. If it comes again, remove "
        "the file in the model cache with the blob that it links to, then `fab provision`.",
        ("safetensors SafetensorError", "QwenLM/Qwen3-VL#264", "vllm-project/vllm#15445"),
        (
            r"SafetensorError: Error while deserializing( header)?:",
            r"(MetadataIncompleteBuffer|InvalidHeaderDeserialization|HeaderTooLarge)",
            r"safetensors.*(incomplete metadata|file not fully covered)",
        ),
    ),
    Failure(
        "weights-missing",
        "The model's folder has no weights in it, or not all of them.",
        "See that its download is whole (`fab provision`), and that `model.path` is the right "
        "folder.",
        ("vLLM 0.32 vllm/model_executor/model_loader/default_loader.py",),
        (
            r"Cannot find any model weights with",
            r"Following weights were not initialized from checkpoint",
            r"No such file or directory: '?\S+\.safetensors",
        ),
    ),
    Failure(
        "model-path-wrong",
        "What the engine was given is neither a folder with a model nor a model's name.",
        "Check `model.name` and `model.path`: a folder needs a config.json.",
        ("vLLM 0.32 vllm/transformers_utils/config.py",),
        (r"Invalid repository ID or local directory specified",),
        severity="consequence",
    ),
    Failure(
        "architecture-unknown",
        "This release of the engine does not know the model's architecture.",
        "Take a newer release of it, or another model.",
        (
            "vLLM 0.32 vllm/model_executor/models/registry.py",
            "transformers configuration_auto.py",
        ),
        (
            r"Model architectures .* are not supported for now",
            r"Transformers does not recognize this architecture",
            r"has no vLLM implementation and the Transformers implementation is not compatible",
        ),
    ),
    Failure(
        "remote-code",
        "The model brings code of its own, which the engine runs only when told to.",
        "Read that code; if it is to be trusted, `--set engine.args.trust_remote_code=true`.",
        ("transformers dynamic_module_utils.py", "vLLM 0.32 vllm/transformers_utils/config.py"),
        (
            r"[Pp]lease pass the argument `trust_remote_code=True`",
            r"set the option `trust_remote_code=True`",
            r"contains custom code which must be executed to correctly load",
            r"you need to pass the argument `trust_remote_code",
        ),
    ),
)
