"""Recipes that extend others, and recipes with variants."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from provisioning import recipe, recipe_layers
from provisioning.errors import UsageError
from provisioning.recipe_layers import Layer

BASE: dict[str, Any] = {
    "description": "the base",
    "model": {"name": "m"},
    "engine": {"name": "simulator", "args": {"itl_ms": 5, "ttft_ms": 9}},
    "launcher": "process",
    "load": {"points": [{"max_concurrency": 1, "num_prompts": 1}]},
}
PRECISIONS = {
    "variants": {
        "fp8": {"model": {"name": "m-fp8"}, "engine": {"args": {"itl_ms": 3}}},
        "bf16": {"description": "whole", "model": {"max_model_len": 64}},
    }
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "recipes"
    path.mkdir()
    write(path, "base", BASE)
    return path


def write(folder: Path, name: str, data: Any) -> None:
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(data, sort_keys=False))


def refusal(folder: Path, name: str, *overrides: str) -> str:
    with pytest.raises(UsageError) as caught:
        recipe.series(name, overrides, folder)
    return str(caught.value)


def test_a_recipe_extends_another(folder: Path) -> None:
    """Mappings join, key by key; lists and plain values take the place of others."""
    points = [{"request_rate": 2, "num_prompts": 7}]
    more = {"engine": {"args": {"itl_ms": 1}}, "load": {"points": points}}
    write(folder, "mine", {"extends": "base", "description": "my own"} | more)

    mine = recipe.load("mine", folder=folder)

    assert ("mine", None, "my own", "m") == (
        *(mine.name, mine.variant, mine.description, mine.model.name),
    )
    assert {"itl_ms": 1, "ttft_ms": 9} == mine.engine.args
    assert ["00-qps2"] == [point.name for point in mine.points()]


def test_null_takes_a_value_back(folder: Path) -> None:
    """To its default, or an argument out of the command."""
    write(folder, "mine", {"extends": "base", "engine": {"args": {"itl_ms": None}}})
    assert {"itl_ms": None, "ttft_ms": 9} == recipe.load("mine", folder=folder).engine.args


def test_extending_goes_on_over_several_files(folder: Path) -> None:
    """The nearest has the last word."""
    write(folder, "mid", {"extends": "base", "planned_s": 5, "model": {"name": "mid"}})
    write(folder, "mine", {"extends": "mid", "model": {"name": "mine"}})
    mine = recipe.load("mine", folder=folder)
    assert ("mine", 5.0, "the base") == (mine.model.name, mine.planned_s, mine.description)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"mine": "mine"}, "recipes/mine.yaml: extends: mine extends mine."),
        (
            {"mine": "a", "a": "b", "b": "a"},
            "recipes/b.yaml: extends: a extends b extends a. Break the circle.",
        ),
        ({"mine": "bose"}, "recipes/mine.yaml: extends: there is no recipe 'bose'. Did you mean"),
        ({"mine": ["base"]}, "recipes/mine.yaml: extends: there is no recipe ['base']."),
        ({"mine": "../recipes/base"}, "extends: there is no recipe '../recipes/base'"),
    ],
)
def test_what_cannot_be_extended_is_refused(
    folder: Path, files: dict[str, Any], message: str
) -> None:
    """A circle, a recipe that is not there, what is no name."""
    for name, parent in files.items():
        write(folder, name, {"extends": parent})
    assert message in refusal(folder, "mine")


def test_variants_are_a_series_in_their_order(folder: Path) -> None:
    """Each is the recipe with its own keys over it, and knows which it is."""
    write(folder, "mine", BASE | PRECISIONS)

    series = recipe.series("mine", folder=folder)

    assert ["fp8", "bf16"] == recipe.variants("mine", folder)
    assert [("mine", "fp8", "mine:fp8"), ("mine", "bf16", "mine:bf16")] == [
        (one.name, one.variant, one.title) for one in series
    ]
    assert [("m-fp8", 3, "the base"), ("m", 5, "whole")] == [
        (one.model.name, one.engine.args["itl_ms"], one.description) for one in series
    ]


def test_a_recipe_without_variants_is_a_series_of_one(folder: Path) -> None:
    """Under its plain name."""
    assert ["base"] == [one.title for one in recipe.series("base", folder=folder)]


@pytest.mark.parametrize(
    ("name", "chosen", "expected"),
    [
        ("mine", ["bf16"], ["mine:bf16"]),
        ("mine:bf16", [], ["mine:bf16"]),
        ("mine", ["bf16", "fp8"], ["mine:fp8", "mine:bf16"]),
    ],
)
def test_some_variants_can_be_chosen(
    folder: Path, name: str, chosen: list[str], expected: list[str]
) -> None:
    """By their names, or with the recipe's; in the recipe's order."""
    write(folder, "mine", BASE | PRECISIONS)
    found = recipe.series(name, folder=folder, chosen=chosen)
    assert expected == [one.title for one in found]


def test_one_recipe_of_a_family_is_its_first_variant(folder: Path) -> None:
    """Or the one that is named."""
    write(folder, "mine", BASE | PRECISIONS)
    assert "fp8" == recipe.load("mine", folder=folder).variant
    assert "bf16" == recipe.load("mine:bf16", folder=folder).variant
    assert "bf16" == recipe.load("mine", folder=folder, variant="bf16").variant


def test_an_unknown_variant_is_refused(folder: Path) -> None:
    """With those that there are."""
    write(folder, "mine", BASE | PRECISIONS)
    assert "The recipe mine has no variant 'fp9'. Did you mean 'fp8'?" == refusal(
        folder, "mine:fp9"
    )
    assert "no variant 'x'. It has none." in refusal(folder, "base:x")


def test_overrides_stand_above_variants(folder: Path) -> None:
    """Of all of them."""
    write(folder, "mine", BASE | PRECISIONS)
    series = recipe.series("mine", ["model.name=other"], folder)
    assert ["other", "other"] == [one.model.name for one in series]


def test_variants_are_extended_too(folder: Path) -> None:
    """By name; one that is null is none, and `variants: null` is none of them."""
    write(folder, "mine", BASE | PRECISIONS)
    changes = {"fp8": {"engine": {"args": {"itl_ms": 2}}}, "bf16": None, "int8": {}}
    write(folder, "more", {"extends": "mine", "variants": changes})
    write(folder, "none", {"extends": "mine", "variants": None})

    first, second = recipe.series("more", folder=folder)

    assert ("more:fp8", "m-fp8", 2) == (first.title, first.model.name, first.engine.args["itl_ms"])
    assert ("more:int8", "m") == (second.title, second.model.name)
    assert ["none"] == [one.title for one in recipe.series("none", folder=folder)]


@pytest.mark.parametrize(
    ("variants", "message"),
    [
        ({"fp8": {"engine": {"nam": "x"}}}, "mine.yaml, variant fp8: engine.nam: unknown key. Did"),
        (
            {"a": {}, "b": {"load": {"points": []}}},
            "mine.yaml, variant b: load.points: must not be",
        ),
        ({"a": {"planned_s": "x"}}, "mine.yaml, variant a: planned_s: must be a number"),
        (["a"], "mine.yaml: variants: must be a mapping of keys to values, got ['a']."),
        ({"a": 3}, "mine.yaml: variants.a: must be a mapping of keys to values, got 3."),
        ({8: {}}, "mine.yaml: variants.8: no name of a variant."),
        ({"A b": {}}, "mine.yaml: variants.A b: no name of a variant."),
        ({"a": {"extends": "b"}}, "mine.yaml: variants.a.extends: not in a variant."),
        ({"a": {"variants": {}}}, "mine.yaml: variants.a.variants: not in a variant."),
    ],
)
def test_a_wrong_variant_is_named(folder: Path, variants: Any, message: str) -> None:
    """The file, the variant, the path; before the first of them is run."""
    write(folder, "mine", BASE | {"variants": variants})
    assert f"recipes/{message}" in refusal(folder, "mine")


def test_the_file_that_said_it_is_blamed(folder: Path) -> None:
    """The parent for its own words, the child for its; and the command line for its."""
    write(folder, "base", BASE | {"planned_s": -1} | PRECISIONS)
    write(folder, "mine", {"extends": "base", "launcher": 3})
    assert refusal(folder, "base").startswith("recipes/base.yaml: planned_s: must be > 0")
    assert refusal(folder, "mine").startswith("recipes/mine.yaml: launcher: must be text, got 3.")
    write(folder, "mine", {"extends": "base"})
    assert refusal(folder, "mine").startswith("recipes/base.yaml: planned_s: must be > 0")
    assert refusal(folder, "mine", "planned_s=-2").startswith("--set planned_s: planned_s: must")
    write(folder, "base", BASE | {"variants": {"a": {"planned_s": -1}}})
    assert refusal(folder, "mine").startswith("recipes/base.yaml, variant a: planned_s: must")


def test_what_nobody_said_is_missing_in_the_file_that_was_asked_for(folder: Path) -> None:
    """Not in a variant, and not in the parent."""
    write(folder, "base", {"description": "d"})
    write(folder, "mine", {"extends": "base", "variants": {"a": {}}})
    assert refusal(folder, "mine").startswith("recipes/mine.yaml: model: missing.")


def test_a_mistyped_key_of_a_family_is_suggested(folder: Path) -> None:
    """Like any other."""
    write(folder, "mine", BASE | {"variant": {"a": {}}})
    assert "variant: unknown key. Did you mean 'variants'?" in refusal(folder, "mine")


def test_merging_leaves_what_it_merges_alone(folder: Path) -> None:
    """The second variant begins where the first did; an override changes one recipe only."""
    write(folder, "mine", BASE | PRECISIONS)
    before = recipe.load("mine:bf16", folder=folder)
    recipe.load("mine:fp8", ["engine.args.itl_ms=99"], folder)
    assert before.model_dump() == recipe.load("mine:bf16", folder=folder).model_dump()


PLAIN = st.recursive(
    st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner),
    max_leaves=8,
)
MAPPING = st.dictionaries(st.sampled_from("abc"), PLAIN)


@given(MAPPING, MAPPING)
def test_what_stands_above_is_there_afterwards(
    below: dict[str, Any], above: dict[str, Any]
) -> None:
    """Merged with itself nothing changes, and every value of the upper one is found."""
    merged = recipe_layers.merged([Layer("1", below), Layer("2", above)])

    def within(part: Any, whole: Any) -> bool:
        if isinstance(part, dict) and isinstance(whole, dict):
            return all(key in whole and within(part[key], whole[key]) for key in part)
        return bool(part == whole)

    assert within(above, merged)
    assert below.keys() | above.keys() == merged.keys()
    assert merged == recipe_layers.merged([Layer("1", merged), Layer("2", merged)])
