"""compressa-perf: which points it can play, and how it is told to."""

from __future__ import annotations

import csv
import json
import random
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench_agent import protocol
from bench_agent.protocol import Target
from provisioning import bench, recipe, second_opinion
from provisioning.deploys.step import Step
from provisioning.errors import UsageError
from provisioning.host_schema import PythonPackages
from provisioning.second_opinion.tools import compressa, compressa_driver
from tests.mlnode_standin import running
from tests.provisioning.nodes import SMALL, Silent, site_of

TARGET = Target(("http://127.0.0.1:8000",), "m", "chat")
KEY = "marker-key-0123456789"
FAKE = Path(__file__).parent / "fake_compressa.py"


def unfit(target: Target = TARGET, *changes: str, **point: Any) -> str | None:
    """What is said of a point."""
    loaded = recipe.load("rehearsal", ["load.api=chat", *changes])
    return compressa.unfit(loaded, target, protocol.Point("00", 10, **point))


def test_a_closed_loop_of_chats_fits() -> None:
    """With requests at once, or all of them."""
    assert (None, None) == (unfit(max_concurrency=4), unfit())


@pytest.mark.parametrize(
    ("target", "changes", "point", "why"),
    [
        (replace(TARGET, api="completions"), (), {}, "chat completions alone"),
        (replace(TARGET, base_urls=("http://a", "http://b")), (), {}, "one address"),
        (replace(TARGET, insecure=True), (), {}, "system's certificates"),
        (TARGET, (), {"request_rate": 2.0}, "no request rates"),
        (TARGET, (), {"ramp_up": protocol.RampUp("linear", 1, 2)}, "no request rates"),
        (TARGET, (), {"arrivals": "trace"}, "no request rates"),
        (TARGET, (), {"max_concurrency": 513}, "513 are too many"),
        (TARGET, ("load.temperature=0.5",), {}, "cannot send"),
        (TARGET, ("load.extra_body={top_k: 3}",), {}, "cannot send"),
    ],
)
def test_what_it_cannot_play_is_said(
    target: Target, changes: tuple[str, ...], point: dict[str, Any], why: str
) -> None:
    """Before it is started."""
    assert why in str(unfit(target, *changes, **point))


@pytest.mark.parametrize("count", [1, 7, 100, 1000])
def test_no_prompt_is_drawn_twice(count: int, tmp_path: Path) -> None:
    """The tool draws with replacement; what was sent once would come from the prefix cache."""
    texts = [f'prompt, "{number}"\nof many' for number in range(count)]

    seed = compressa_driver.write_prompts(tmp_path / "p.csv", texts)

    with (tmp_path / "p.csv").open(newline="") as file:
        lines = [row[0] for row in csv.reader(file)]
    generator = random.Random(seed)
    assert texts == [generator.choice(lines) for _ in range(count)]


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The stand-in in an environment that is there already; runs of this machine in *tmp_path*."""
    programs = tmp_path / "environment" / "bin"
    programs.mkdir(parents=True)
    (programs / "python").symlink_to(sys.executable)
    (programs / "compressa-perf").write_text(f'#!/bin/sh\nexec {sys.executable} -I {FAKE} "$@"\n')
    (programs / "compressa-perf").chmod(0o755)
    monkeypatch.setattr(compressa.environment, "path", lambda *_: str(programs.parent))
    monkeypatch.setattr(compressa.environment, "step", lambda name, *_: Step(name))
    monkeypatch.setenv("LLM_DYNO_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("VLLM_API_KEY", KEY)
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")


@pytest.fixture
def bench_once(tool: None, tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Run the layouts against a node that wants a key; where the result is."""
    with running(key=KEY) as node:

        def run(*changes: str) -> Path:
            made = recipe.load(
                "mlnode-layouts:tp8-pp1-short", [*SMALL, "second_opinion=[compressa]", *changes]
            )
            return bench.bench(site_of(node), made, tmp_path / "results", Silent()).path

        yield run


@pytest.mark.integration
def test_it_measures_the_same_load(bench_once: Callable[..., Path], tmp_path: Path) -> None:
    """As many requests, as long; none that was sent before; the key in no file."""
    run = bench_once()

    found = json.loads((run / "home/second_opinion.json").read_text())["tools"]["compressa"]
    point = found["points"]["00-c2"]
    figures = {name: row["theirs"] for name, row in point["figures"].items()}
    assert ("0.2.8", "", 8, 0) == (
        found["version"],
        point["reason"],
        figures["completed"],
        figures["failed"],
    )
    assert (8 * 50, 20.0, 500.0, 100.0, 1.5) == (
        figures["input_tokens"],
        figures["mean_ttft_ms"],
        figures["mean_e2el_ms"],
        figures["e2el_per_output_token_ms"],
        figures["request_throughput"],
    )
    assert {"ours", "theirs", "differs", "error", "beyond"} == point["figures"][
        "mean_ttft_ms"
    ].keys()
    asked = json.loads((run / "home/second_opinion/compressa/00-c2/asked.json").read_text())
    assert 8 == len(set(asked))
    _nowhere(KEY, run, tmp_path / "home")


def _nowhere(key: str, *folders: Path) -> None:
    """No file holds *key*; there are files."""
    looked = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    assert len(looked) > 10
    assert [] == [path for path in looked if key.encode() in path.read_bytes()]


@pytest.mark.integration
def test_what_it_left_is_at_home_and_nowhere_else(
    bench_once: Callable[..., Path], tmp_path: Path
) -> None:
    """Log, database, configuration; the log without the key that it printed; no proxy."""
    run = bench_once()

    left = run / "home/second_opinion/compressa/00-c2"
    assert {"asked.json", "compressa.log", "compressa-perf-db.sqlite", "config.json"} == {
        path.name for path in left.iterdir()
    }
    log = (left / "compressa.log").read_text()
    assert f"the key is {'*' * len(KEY)}" in log
    assert "HTTP_PROXY" not in log
    assert "api_key" not in (left / "config.json").read_text()
    assert [] == list((tmp_path / "home/here/opinions").rglob("*.sqlite"))


@pytest.mark.integration
def test_a_run_keeps_its_result_when_the_tool_hangs(
    bench_once: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is ended at its limit; why there is no opinion stands in the file."""
    monkeypatch.setattr(second_opinion, "_TIMES", 0.0)
    monkeypatch.setattr(second_opinion, "_MORE_S", 1.0)

    run = bench_once("model.name=hangs")

    assert (run / "SHA256SUMS").is_file()
    tools = json.loads((run / "home/second_opinion.json").read_text())["tools"]
    point = tools["compressa"]["points"]["00-c2"]
    assert point["reason"].startswith("it did not end within 1 s")


@pytest.mark.integration
def test_a_point_that_it_cannot_play_is_told(bench_once: Callable[..., Path]) -> None:
    """Nothing is started for it."""
    run = bench_once("load.points.0.request_rate=50")

    points = json.loads((run / "home/second_opinion.json").read_text())["tools"]["compressa"][
        "points"
    ]
    assert ["it knows no request rates, only requests at once"] == [
        each["reason"] for each in points.values()
    ]
    assert not (run / "home/second_opinion").exists()


def test_a_tool_that_is_none_is_refused() -> None:
    """By the recipe's own rules."""
    with pytest.raises(UsageError, match="second_opinion"):
        recipe.load("rehearsal", ["second_opinion=[guess]"])
    with pytest.raises(UsageError, match="There is no second opinion 'guess'"):
        second_opinion.load("guess")


def test_its_environment_comes_from_the_recipes_index() -> None:
    """Where packages of the recipe come from, too."""
    index = "http://127.0.0.1:9/simple"
    changes = ["host.python.packages=[a==1]", f"host.python.index_url={index}"]

    made = compressa.packages(recipe.load("rehearsal", changes))

    assert isinstance(made, PythonPackages)
    assert (index, "compressa-perf==0.2.8") == (str(made.index_url), made.packages[0])


def test_the_plan_has_room_for_it() -> None:
    """A stack must last for both."""
    asked = recipe.load("rehearsal", ["second_opinion=[compressa]"])

    assert (0.0, 100.0) == (
        second_opinion.longest_s(recipe.load("rehearsal"), 100.0),
        second_opinion.longest_s(asked, 100.0),
    )
