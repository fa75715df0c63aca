"""Every recipe that comes from a document gives its command, but for what is listed."""

from __future__ import annotations

import dataclasses

import pytest

from provisioning import recipe, rendering
from provisioning.recipe_about import origin
from tests.provisioning import recipe_goldens
from tests.provisioning.recipe_goldens import Golden

GOLDENS = list(recipe_goldens.goldens())


def test_every_variant_has_its_document() -> None:
    """None that names its origin is left out, and none stands for a recipe that is gone."""
    told = [n for n in recipe.names() if "Origin:" in origin(recipe.RECIPES / f"{n}.yaml")]
    ours = {one.title for name in told for one in recipe.series(name)}

    assert len(ours) >= 12
    assert ours == {golden.title for golden in GOLDENS}


@pytest.mark.parametrize("golden", GOLDENS, ids=lambda g: g.title)
def test_what_is_rendered_differs_as_listed(golden: Golden) -> None:
    """Every difference is listed with a reason, and every listed one is there."""
    made = rendering.rendered(recipe_goldens.loaded(golden))

    assert [] == recipe_goldens.problems(golden, made)
    assert all(len(each.reason) > 20 for each in golden.deviations)


@pytest.mark.parametrize("golden", GOLDENS, ids=lambda g: g.title)
def test_both_lie_side_by_side(golden: Golden) -> None:
    """The file is up to date: `python -m tests.provisioning.recipe_goldens` writes it."""
    made = rendering.rendered(recipe_goldens.loaded(golden))

    assert recipe_goldens.beside(golden, made) == golden.path.read_text()


def test_a_difference_that_is_not_listed_is_seen() -> None:
    """In our command, in the document's, and in the list."""
    golden = GOLDENS[0]
    title = golden.title
    other = recipe.load(title, ["engine.args.max_num_seqs=33", "engine.args.dtype=half"])
    more = dataclasses.replace(golden, seed=(*golden.seed, "--seed 1"))
    fewer = dataclasses.replace(golden, deviations=golden.deviations[1:])

    changed = recipe_goldens.problems(golden, rendering.rendered(other))
    same = rendering.rendered(recipe.load(title))

    assert [
        "not listed: the document's '--max-num-seqs 32' is not ours",
        "not listed: our '--max-num-seqs 33' is not the document's",
        "not listed: our '--dtype half' is not the document's",
    ] == changed
    assert ["not listed: the document's '--seed 1' is not ours"] == recipe_goldens.problems(
        more, same
    )
    assert recipe_goldens.problems(fewer, same)


def test_a_listed_difference_that_is_gone_is_seen() -> None:
    """A list that nobody keeps would hide what comes later."""
    golden = GOLDENS[0]
    stale = recipe_goldens.Deviation(("--seed 1",), ("--seed 2",), "once it was so, long ago")
    listed = dataclasses.replace(golden, deviations=(*golden.deviations, stale))

    assert [
        "gone: the document's '--seed 1' is ours, or not its",
        "gone: our '--seed 2' is the document's, or not ours",
    ] == recipe_goldens.problems(listed, rendering.rendered(recipe.load(golden.title)))


@pytest.mark.parametrize(
    ("one", "other"),
    [("--ipc=host", "--ipc host"), ("--share 0.90", "--share 0.9")],
)
def test_spelling_makes_no_difference(one: str, other: str) -> None:
    """Of an option with its value, and of a number."""
    assert recipe_goldens.plain(one) == recipe_goldens.plain(other)
