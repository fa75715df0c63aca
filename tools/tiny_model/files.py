"""The folder of a model, as engines want it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bench_agent.tokenizer import WORDS
from tools.tiny_model import bpe
from tools.tiny_model.weights import HEADS, HIDDEN, INNER, LAYERS, safetensors, weights

VOCABULARY, CONTEXT = 4096, 8192
_BEGIN, _END = "<s>", "</s>"
_ROOT = Path(__file__).resolve().parents[2]
_TEMPLATE = (
    "{% for m in messages %}<s>{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)
#: So often do the load's own words stand in the text: each is one token then.
_OFTEN = 20


def make(folder: Path) -> None:
    """Write the model to *folder*.

    Raises:
        ValueError: the text is too short to learn so many tokens from.
    """
    folder.mkdir(parents=True, exist_ok=True)
    learnt = bpe.merges(_text(), VOCABULARY - 2 - 256)
    vocabulary = [_BEGIN, _END, *bpe.alphabet(), *(a + b for a, b in learnt)]
    if len(set(vocabulary)) < VOCABULARY:
        raise ValueError(f"the text gives {len(set(vocabulary))} tokens, not {VOCABULARY}")
    sayable = [False, False, *map(_whole, vocabulary[2:])]
    (folder / "model.safetensors").write_bytes(safetensors(weights(sayable)))
    for name, data in _described(vocabulary, learnt).items():
        (folder / name).write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n")


def _text() -> str:
    """What there is to learn from: the project's own documents."""
    paths = [_ROOT / "README.md", _ROOT / "LICENSE", *sorted((_ROOT / "docs").glob("*/*.md"))]
    own = "\n".join(path.read_text(encoding="utf-8") for path in paths)
    return f"{own}\n{' '.join(WORDS * _OFTEN)}"


def _whole(symbol: str) -> bool:
    """Whether a token is text by itself, and not a piece of a character."""
    try:
        return bpe.in_bytes(symbol).decode().isprintable()
    except UnicodeDecodeError:
        return False


def _described(vocabulary: list[str], learnt: list[bpe.Pair]) -> dict[str, Any]:
    special = {"bos_token_id": 0, "eos_token_id": 1}
    return {
        "config.json": _CONFIG | special | {"vocab_size": len(vocabulary)},
        "generation_config.json": special,
        "tokenizer.json": _tokenizer(vocabulary, learnt),
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": _BEGIN,
            "eos_token": _END,
            "model_max_length": CONTEXT,
            "chat_template": _TEMPLATE,
        },
    }


_CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "dtype": "float32",
    "hidden_size": HIDDEN,
    "intermediate_size": INNER,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "num_key_value_heads": HEADS,
    "head_dim": HIDDEN // HEADS,
    "hidden_act": "silu",
    "max_position_embeddings": CONTEXT,
    "rms_norm_eps": 1e-6,
    "rope_theta": 10000.0,
    "attention_bias": False,
    "mlp_bias": False,
    "tie_word_embeddings": False,
}


def _tokenizer(vocabulary: list[str], learnt: list[bpe.Pair]) -> dict[str, Any]:
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": number, "content": word, **plain, "special": True}
            for number, word in enumerate((_BEGIN, _END))
        ],
        "normalizer": None,
        "pre_tokenizer": level | {"use_regex": True},
        "post_processor": None,
        "decoder": level | {"use_regex": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {word: number for number, word in enumerate(vocabulary)},
            "merges": [list(pair) for pair in learnt],
        },
    }
