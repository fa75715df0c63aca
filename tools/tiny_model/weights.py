"""Random weights that speak: no end of the text, and no half of a character."""

from __future__ import annotations

import json
import math
import random
from array import array
from collections.abc import Callable, Mapping, Sequence

HIDDEN, HEADS, LAYERS, INNER = 64, 2, 2, 128
#: One dimension of the residual stream is the same for every token; the output head reads it as
#: a bias, against the tokens that are not to be said.
_CONSTANT, _FORBIDDEN = 3.0, -50.0
_SPREAD = {"embed": 0.5, "layer": 0.08, "head": 0.3}

Tensor = tuple[tuple[int, ...], "array[float]"]  # Python 3.11 cannot read it otherwise


def weights(sayable: Sequence[bool], seed: int = 0) -> dict[str, Tensor]:
    """All tensors by name; *sayable* tells of each token whether it may be said."""
    draw = random.Random(seed).gauss  # noqa: S311 - weights, no secrets
    size = len(sayable)
    made = {"model.embed_tokens.weight": _matrix(draw, size, HIDDEN, "embed", _CONSTANT)}
    for layer in range(LAYERS):
        for name, rows, columns in _SHAPES:
            # Nothing is written to the constant dimension.
            matrix = _matrix(draw, rows, columns, "layer")
            if name in ("self_attn.o_proj", "mlp.down_proj"):
                matrix[1][:columns] = array("f", bytes(4 * columns))
            made[f"model.layers.{layer}.{name}.weight"] = matrix
        for name in ("input_layernorm", "post_attention_layernorm"):
            made[f"model.layers.{layer}.{name}.weight"] = _ones()
    made["model.norm.weight"] = _ones()
    made["lm_head.weight"] = _matrix(draw, size, HIDDEN, "head")
    for token, allowed in enumerate(sayable):
        made["lm_head.weight"][1][token * HIDDEN] = 0.0 if allowed else _FORBIDDEN
    return made


def safetensors(tensors: Mapping[str, Tensor]) -> bytes:
    """The file: length of the header, header, numbers."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, (shape, numbers) in tensors.items():
        end = at + 4 * len(numbers)
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [at, end]}
        at = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return b"".join(
        [len(text).to_bytes(8, "little"), text, *(n.tobytes() for _, n in tensors.values())]
    )


_SHAPES = (
    ("self_attn.q_proj", HIDDEN, HIDDEN),
    ("self_attn.k_proj", HIDDEN, HIDDEN),
    ("self_attn.v_proj", HIDDEN, HIDDEN),
    ("self_attn.o_proj", HIDDEN, HIDDEN),
    ("mlp.gate_proj", INNER, HIDDEN),
    ("mlp.up_proj", INNER, HIDDEN),
    ("mlp.down_proj", HIDDEN, INNER),
)


def _matrix(
    draw: Callable[[float, float], float],
    rows: int,
    columns: int,
    kind: str,
    first: float = math.nan,
) -> Tensor:
    """*rows* times *columns*; *first* is in the first column, if it is a number."""
    numbers = array("f", (draw(0.0, _SPREAD[kind]) for _ in range(rows * columns)))
    if not math.isnan(first):
        for row in range(rows):
            numbers[row * columns] = first
    return (rows, columns), numbers


def _ones() -> Tensor:
    return (HIDDEN,), array("f", [1.0] * HIDDEN)
