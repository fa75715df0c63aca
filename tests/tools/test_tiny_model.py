"""A model that is made here: the same each time, and never out of words."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tools.tiny_model import bpe
from tools.tiny_model.files import VOCABULARY, make
from tools.tiny_model.weights import HIDDEN, LAYERS, safetensors, weights

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("tiny")
    make(made)
    return made


def read(folder: Path, name: str) -> Any:
    return json.loads((folder / name).read_text())


def tensor(folder: Path, name: str) -> list[list[float]]:
    """The rows of a matrix, read as the format is described."""
    data = (folder / "model.safetensors").read_bytes()
    length = int.from_bytes(data[:8], "little")
    about = json.loads(data[8 : 8 + length])[name]
    begin, end = about["data_offsets"]
    numbers = struct.unpack(f"<{(end - begin) // 4}f", data[8 + length + begin : 8 + length + end])
    rows, columns = about["shape"]
    return [list(numbers[row * columns : (row + 1) * columns]) for row in range(rows)]


@pytest.mark.integration
def test_it_is_the_same_each_time(folder: Path, tmp_path: Path) -> None:
    """Every file, byte for byte, whoever makes it."""
    command = [sys.executable, "-m", "tools.tiny_model", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, timeout=120)

    here, there = ({p.name: p.read_bytes() for p in f.iterdir()} for f in (folder, tmp_path))
    assert 5 == len(here)
    assert here == there


@pytest.mark.integration
def test_each_token_is_known_once(folder: Path) -> None:
    """As many as the weights have rows, and the merges make those beyond the bytes."""
    model = read(folder, "tokenizer.json")["model"]
    assert VOCABULARY == len(model["vocab"]) == read(folder, "config.json")["vocab_size"]
    assert list(range(VOCABULARY)) == sorted(model["vocab"].values())
    made = ["".join(pair) for pair in model["merges"]]
    assert made == [word for word, number in model["vocab"].items() if number >= 258]
    assert "\u0120time" in made


@pytest.mark.integration
def test_no_token_ends_the_text_or_breaks_a_character(folder: Path) -> None:
    """Of those the head knows a bias that they never overcome; all others have none."""
    words = list(read(folder, "tokenizer.json")["model"]["vocab"])
    head = tensor(folder, "lm_head.weight")
    said = {word for word, row in zip(words, head, strict=True) if row[0] == 0.0}
    assert {"<s>", "</s>", "\u00c3", "\u010a"}.isdisjoint(said)
    assert {"a", "\u0120time"} < said
    assert all(row[0] == -50.0 for w, row in zip(words, head, strict=True) if w not in said)
    assert {3.0} == {row[0] for row in tensor(folder, "model.embed_tokens.weight")}
    for layer in range(LAYERS):
        for name in ("self_attn.o_proj", "mlp.down_proj"):
            first, second, *_ = tensor(folder, f"model.layers.{layer}.{name}.weight")
            assert {0.0} == set(first) != set(second)


def test_pairs_are_merged_by_their_number() -> None:
    """The most frequent first, by name among equals; no merge goes over the end of a word."""
    assert [("a", "b"), ("ab", "c")] == bpe.merges("abc abc ab", 2)
    assert [] == bpe.merges("a b", 1)[1:]
    assert b"\xc3" == bpe.in_bytes("\u00c3")


def test_the_header_says_where_numbers_are() -> None:
    """In order, without gaps, eight bytes aligned."""
    made = weights([True, False], seed=1)
    data = safetensors(made)
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    del header["__metadata__"]
    ends = [about["data_offsets"][1] for about in header.values()]
    assert 0 == length % 8
    assert [0, *ends[:-1]] == [about["data_offsets"][0] for about in header.values()]
    assert len(data) == 8 + length + ends[-1]
    assert [2, HIDDEN] == header["lm_head.weight"]["shape"]
    assert made["lm_head.weight"] != weights([True, False], seed=2)["lm_head.weight"]
