"""Recipes: read, overridden, refused with the path of what is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from bench_agent import protocol
from provisioning import engines, launchers, recipe, recipe_errors
from provisioning.errors import UsageError
from provisioning.host_schema import HostNeeds
from provisioning.recipe_schema import Load, Point, Recipe, Strict

MINIMAL: dict[str, Any] = {
    "description": "d",
    "model": {"name": "m"},
    "engine": {"name": "simulator"},
    "launcher": "process",
    "load": {"points": [{"max_concurrency": 1, "num_prompts": 1}]},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "recipes"
    path.mkdir()
    (path / "mine.yaml").write_text(yaml.safe_dump(MINIMAL))
    return path


def refusal(folder: Path, *overrides: str) -> str:
    with pytest.raises(UsageError) as caught:
        recipe.load("mine", overrides, folder)
    return str(caught.value)


def refusal_of(folder: Path, text: str) -> str:
    (folder / "mine.yaml").write_text(text)
    return refusal(folder)


@pytest.mark.parametrize("name", recipe.names())
def test_every_recipe_of_ours_can_be_served(name: str) -> None:
    """It loads, its engine and its launcher are there, and a comment says where it comes from."""
    loaded = recipe.load(name)
    engines.load(loaded.engine.name)
    launchers.load(loaded.launcher)
    assert (name, "#") == (loaded.name, (recipe.RECIPES / f"{name}.yaml").read_text()[0])


def test_there_are_recipes() -> None:
    """The test above runs on something."""
    assert "rehearsal" in recipe.names()


def test_the_rehearsal_is_short() -> None:
    """By its own schedule the load takes less than ten seconds."""
    loaded = recipe.load("rehearsal")
    args = loaded.engine.args
    one = (args["ttft_ms"] + (loaded.load.workload.output_len - 1) * args["itl_ms"]) / 1e3
    sizes = [(p.num_prompts or 0, p.max_concurrency or p.num_prompts or 1) for p in loaded.points()]
    waves = [number / at_once for number, at_once in sizes]
    assert 6.12 == pytest.approx(one * sum(waves))


def test_points_are_named_in_order() -> None:
    """``00-c4`` and ``01-inf``, as the agent takes them."""
    expected = (
        protocol.Point("00-c4", 32, max_concurrency=4),
        protocol.Point("01-inf", 64),
    )
    assert expected == recipe.load("rehearsal").points()


@pytest.mark.parametrize(
    ("values", "label"),
    [
        ({"max_concurrency": 4}, "c4"),
        ({"request_rate": "inf"}, "inf"),
        ({"request_rate": float("inf"), "max_concurrency": 8}, "c8"),
        ({"request_rate": 2}, "qps2"),
        ({"request_rate": 0.5}, "qps0.5"),
        ({"request_rate": 2.5, "max_concurrency": 8}, "c8-qps2.5"),
        ({"request_rate": 1.0, "name": "slow"}, "slow"),
    ],
)
def test_a_point_is_named_by_its_load(values: dict[str, Any], label: str) -> None:
    """Cap, rate, both, or a name of its own."""
    assert label == Point(num_prompts=1, **values).label()


def test_an_infinite_rate_is_none_on_the_wire() -> None:
    """The agent's word for it."""
    assert None is Point(num_prompts=1, request_rate="inf").protocol("00-inf").request_rate


def test_defaults_of_limits_are_the_agents() -> None:
    """One place says what is valid."""
    assert protocol.Limits() == Recipe.named("x", MINIMAL).limits.protocol()


def test_the_workload_goes_to_the_agent_as_it_is() -> None:
    """Its fields have the agent's names."""
    loaded = recipe.load("rehearsal", ["load.workload.options.a=1"])
    expected = protocol.Workload("random", 128, 64, 0, {"a": 1})
    assert expected == loaded.load.workload.protocol()


def test_an_override_takes_effect(folder: Path) -> None:
    """The value stands in the recipe, and in what is kept of it."""
    loaded = recipe.load("mine", ["load.points.0.num_prompts=8", "engine.env.A=1"], folder)
    assert (8, {"A": "1"}) == (loaded.load.points[0].num_prompts, loaded.engine.env)
    assert 8 == yaml.safe_load(loaded.to_yaml())["load"]["points"][0]["num_prompts"]


@settings(max_examples=40, deadline=None)  # YAML is slow
@given(
    st.integers(1, 10**6),
    st.none() | st.integers(1, 500),
    st.floats(0.001, 1e5) | st.just("inf"),
    st.dictionaries(st.sampled_from("abc"), st.none() | st.integers() | st.text(max_size=5)),
)
def test_the_effective_recipe_reads_back_as_itself(
    prompts: int, cap: int | None, rate: float | str, body: dict[str, Any]
) -> None:
    """What is kept beside a result gives the same run again."""
    point = {"num_prompts": prompts, "max_concurrency": cap, "request_rate": rate}
    data = MINIMAL | {"load": {"points": [point], "extra_body": body}}
    one = Recipe.named("x", data)
    assert one == Recipe.named("x", yaml.safe_load(one.to_yaml()))


def test_no_password_of_a_url_is_kept() -> None:
    """What comes home names the host it came from, and can be read again."""
    url = "https://who:m4rker-p@ss@index.test:8/simple?a=b@c"
    data = MINIMAL | {
        "model": {"name": "m", "hub": url},
        "host": {"python": {"packages": [f"a @ {url}"], "index_url": url}},
    }
    text = Recipe.named("x", data).to_yaml()
    kept = Recipe.named("x", yaml.safe_load(text))

    plain = "https://[REDACTED]@index.test:8/simple?a=b@c"
    assert [] == [word for word in ("who:", "m4rker", "ss@") if word in text]
    assert kept.host.python is not None
    assert (plain, plain, [f"a @ {plain}"]) == (
        kept.model.hub,
        kept.host.python.index_url,
        kept.host.python.packages,
    )


@pytest.mark.parametrize("text", ["\x85", "a\u2028b", "\u2029", "grüße"])
def test_odd_line_ends_read_back_as_themselves(text: str) -> None:
    """YAML takes more than one character for the end of a line."""
    one = Recipe.named("x", MINIMAL | {"description": text})
    assert text == yaml.safe_load(one.to_yaml())["description"]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("load.points.0.num_prompts=0", "load.points[0].num_prompts: must be ≥ 1, got 0."),
        ("load.points.0.num_prompts=x", "must be a whole number, got 'x'."),
        ("load.points.0.num_prompts=true", "must be a whole number, got True."),
        ("load.points=[]", "load.points: must not be empty, got []."),
        ("load.points=3", "load.points: must be a list, got 3."),
        ("load.points.0.request_rate=-1", "must be a number above 0, or inf."),
        ("load.points.0.request_rate=true", "must be a number above 0, or inf."),
        ("load.points.0.request_rate=.nan", "must be a number above 0, or inf."),
        ("load.points.0.name=../x", "must match"),
        ("load.api=tokens", "load.api: must be 'completions' or 'chat', got 'tokens'."),
        ("load.ignore_eos=1", "must be true or false, got 1."),
        ("load.temperature=warm", "must be a number, got 'warm'."),
        ("limits.max_failed_share=2", "must be ≤ 1.0, got 2"),
        ("timeouts.ready_s=0", "must be > 0.0, got 0"),
        ("timeouts.ready_s=.inf", "must be a number, got inf."),
        ("description=", "description: must be text, got nothing."),
        ("model.name=''", "model.name: must not be empty, got ''."),
        ("engine.port=70000", "must be ≤ 65535, got 70000."),
        ("engine.env.A=[1]", "engine.env.A: must be text, got [1]."),
        ("engine.env.1A=x", "must match"),
        ("engine.env=x", "must be a mapping of keys to values, got 'x'."),
        ("engine.nam=x", "engine.nam: unknown key. Did you mean 'name'?"),
        ("limits.zzz=1", "limits.zzz: unknown key. Known here are: max_cache_hit_excess, "),
        ("lod.points=1", "--set lod.points: lod: unknown key. Did you mean 'load'?"),
        ("load.points.0.num_promts=1", "unknown key. Did you mean 'num_prompts'?"),
        ("load.workload.sed=1", "unknown key. Did you mean 'seed'?"),
        ("engine.args.port=1", "port is not set here; set engine.port."),
        ("engine.args.--host=x", "--host is not set here"),
        ("engine.args.api_key=x", "api_key looks like a secret; recipes hold none."),
        ("engine.env.HF_TOKEN=x", "HF_TOKEN looks like a secret; recipes hold none."),
    ],
)
def test_a_wrong_override_is_refused_with_its_path(
    folder: Path, override: str, message: str
) -> None:
    """One sentence: which setting, what it must be, what it is."""
    assert message in refusal(folder, override)


def test_a_setting_that_did_it_is_named_as_such(folder: Path) -> None:
    """The file is not blamed for what stands on the command line."""
    message = refusal(folder, "limits.max_failed_share=0.5", "load.num_warmups=-1")
    assert "--set load.num_warmups: load.num_warmups: must be ≥ 0, got -1." == message


def test_a_wrong_file_is_named_with_the_path(folder: Path) -> None:
    """File, path, what it must be; what else is wrong by path only."""
    bad = MINIMAL | {"load": {"points": [{"max_concurrency": 0, "num_prompts": 0}]}}
    message = refusal_of(folder, yaml.safe_dump(bad))
    assert message == (
        "recipes/mine.yaml: load.points[0].num_prompts: must be ≥ 1, got 0. "
        "Also wrong: load.points[0].max_concurrency."
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "recipes/mine.yaml, line 1: no valid YAML"),
        (
            "a: 1\nb: 2\na: 3\n",
            "recipes/mine.yaml, line 3: no valid YAML: the key 'a' stands twice",
        ),
        ("- a\n", "recipes/mine.yaml: must be a mapping"),
        ("", "recipes/mine.yaml: must be a mapping"),
    ],
)
def test_a_file_that_is_no_recipe_is_refused(folder: Path, text: str, message: str) -> None:
    """With its line, where YAML knows it."""
    assert message in refusal_of(folder, text)


def test_a_file_that_is_not_utf8_is_refused(folder: Path) -> None:
    """As no valid YAML, without a traceback."""
    (folder / "mine.yaml").write_bytes(b"description: \xff\n")
    assert "mine.yaml: no valid YAML: not UTF-8." in refusal(folder)


def test_what_is_missing_is_named(folder: Path) -> None:
    """By its path."""
    text = yaml.safe_dump({k: v for k, v in MINIMAL.items() if k != "model"})
    assert refusal_of(folder, text) == "recipes/mine.yaml: model: missing. Add it."


def test_a_point_needs_a_load(folder: Path) -> None:
    """Neither cap nor rate says nothing about the load."""
    message = refusal(folder, "load.points=[{num_prompts: 3}]")
    assert "load.points[0]: needs max_concurrency or request_rate" in message


def test_no_such_recipe_lists_those_there_are(folder: Path) -> None:
    """Or proposes the close one."""
    with pytest.raises(UsageError, match=r"no recipe 'x-y'. Known are: mine\."):
        recipe.load("x-y", folder=folder)
    with pytest.raises(UsageError, match="Did you mean 'mine'"):
        recipe.load("mime", folder=folder)


def test_a_name_that_cannot_stand_in_a_run_id_is_no_recipe(folder: Path) -> None:
    """Run ids are folder names and are parsed."""
    (folder / "My_own.yaml").write_text("a: 1")
    assert ["mine"] == recipe.names(folder)


def test_a_kind_of_error_that_nobody_foresaw_is_told_in_pydantics_words() -> None:
    """With the value that did it, cut where it is long."""
    details: Any = {"type": "new_kind", "msg": "Input is odd", "input": "x" * 99}
    what, _ = recipe_errors._problem(details, ("load",))
    assert "Input is odd, got '" + "x" * 56 + "...." == what


def every_model(model: type[Strict]) -> set[type[Strict]]:
    fields = [recipe_errors._model_in(f.annotation) for f in model.model_fields.values()]
    return {model}.union(*(every_model(m) for m in fields if m))


def test_every_key_is_documented() -> None:
    """The reference page is made of these texts."""
    models = every_model(Recipe)
    fields = [(m.__name__, n, f) for m in models for n, f in m.model_fields.items()]
    assert {Recipe, HostNeeds, Load} < models
    assert [] == [(m, n) for m, n, f in fields if not f.description]
