"""``vllm bench serve``: which points it can play, how it is told to, what its file means."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench_agent import protocol
from bench_agent.protocol import PointSummary, Target
from provisioning import recipe
from provisioning.second_opinion.base import Asked
from provisioning.second_opinion.tools import vllm, vllm_driver

TARGET = Target(("http://127.0.0.1:8000",), "m")
KEY = "marker-key-0123456789"
ENGINE = {
    "argv": ["/env/bin/vllm", "serve", "o/m", "--revision", "c0ffee"],
    "env": {"HF_HOME": "/data/models", "HF_HUB_OFFLINE": "1", "PATH": "/env/bin"},
}
RESULT = {
    "duration": 2.0,
    "completed": 2,
    "failed": 1,
    "num_prompts": 3,
    "total_input_tokens": 20,
    "total_output_tokens": 8,
    "request_throughput": 1.0,
    "output_throughput": 4.0,
    "mean_ttft_ms": 5.0,
    "mean_e2el_ms": 9.0,
}
#: The tool, as far as it matters: what it was given, and its file.
FAKE = """#!{python}
import json, os, pathlib, sys
words = sys.argv[1:]
folder = pathlib.Path(words[words.index("--result-dir") + 1])
print("starting with", os.environ["OPENAI_API_KEY"])
pathlib.Path("seen.json").write_text(json.dumps(dict(argv=words, env=dict(os.environ))))
pathlib.Path("{seen}").write_text(pathlib.Path("seen.json").read_text())
{then}
"""


def unfit(target: Target = TARGET, engine: str = "vllm", **point: Any) -> str | None:
    """What is said of a point."""
    loaded = recipe.load("cpu-tiny")
    made = loaded.model_copy(update={"engine": loaded.engine.model_copy(update={"name": engine})})
    return vllm.unfit(made, target, protocol.Point("00", 10, **point))


def asked(point: protocol.Point, *changes: str, target: Target = TARGET) -> Asked:
    """A point of 30 requests, of which 28 came through."""
    ours = PointSummary.__new__(PointSummary)
    about = {"requested": 30, "completed": 28}
    for name, value in (about | {"total_input_tokens": 2800, "total_output_tokens": 560}).items():
        object.__setattr__(ours, name, value)
    return Asked(recipe.load("cpu-tiny", changes), target, point, ours, "R", "/f", 60.0)


def words(point: protocol.Point, *changes: str, target: Target = TARGET) -> str:
    """All arguments in one line."""
    return " ".join(vllm.arguments(asked(point, *changes, target=target)))


def test_rates_and_requests_at_once_fit() -> None:
    """And both together, and a ramp."""
    ramp = protocol.RampUp("linear", 1, 2)
    assert [None] * 3 == [
        unfit(max_concurrency=4, request_rate=2.0),
        unfit(),
        unfit(ramp_up=ramp),
    ]


@pytest.mark.parametrize(
    ("target", "engine", "point", "why"),
    [
        (TARGET, "simulator", {}, "the engine is another"),
        (replace(TARGET, base_urls=("http://a", "http://b")), "vllm", {}, "one address"),
        (replace(TARGET, insecure=True), "vllm", {}, "system's certificates"),
        (TARGET, "vllm", {"arrivals": "trace"}, "trace"),
        (TARGET, "vllm", {"ramp_up_s": 2.0}, "at once"),
        (TARGET, "vllm", {"burstiness": None}, "constant interval"),
    ],
)
def test_what_it_cannot_play_is_said(
    target: Target, engine: str, point: dict[str, Any], why: str
) -> None:
    """Before it is started."""
    assert why in str(unfit(target, engine, **point))


def test_it_plays_the_same_load() -> None:
    """As many requests, the same lengths, rate and cap; replies to their full length."""
    said = words(protocol.Point("00", 30, max_concurrency=4, request_rate=2.5, burstiness=0.5))
    for each in (
        "--backend openai --endpoint /v1/completions --base-url http://127.0.0.1:8000 --model m",
        "--num-prompts 30 --max-concurrency 4 --request-rate 2.5 --burstiness 0.5",
        "--random-input-len 128 --random-output-len 64",
        "--ignore-eos",
        "--percentile-metrics ttft,tpot,itl,e2el",
    ):
        assert each in said
    assert "--temperature" not in said
    assert "--request-rate inf" in words(protocol.Point("00", 30))


def test_each_point_has_prompts_of_its_own() -> None:
    """Those of the point before would come from the engine's prefix cache."""
    said = [words(protocol.Point(name, 30)).split() for name in ("00-c2", "01-c4", "00-c2")]
    one, other, again = (each[each.index("--seed") + 1] for each in said)
    assert (one, 1 + 2**30 > int(one) > 0) == (again, True)
    assert one != other


def test_a_temperature_that_is_its_own_is_noted() -> None:
    """Where the recipe says none; one that it says is the same for both."""
    point = protocol.Point("00", 30)
    assert "temperature 0" in " ".join(vllm._notes(asked(point)))
    assert "temperature" not in " ".join(vllm._notes(asked(point, "load.temperature=0.5")))


def test_a_ramp_and_what_requests_bear() -> None:
    """In vLLM's own words."""
    point = protocol.Point("00", 30, ramp_up=protocol.RampUp("linear", 1, 2.5))
    changes = ("load.temperature=0", "load.extra_body={top_k: 3}", "load.ignore_eos=false")
    said = words(point, *changes)
    assert "--ramp-up-strategy linear --ramp-up-start-rps 1 --ramp-up-end-rps 2.5" in said
    assert '--temperature 0 --extra-body {"top_k": 3}' in said
    assert "--ignore-eos" not in said


def test_other_prompts_are_as_long_as_ours_were() -> None:
    """In the mean, and that is said; a random length stays one."""
    chat = replace(TARGET, api="chat")
    said = words(protocol.Point("00", 30), target=chat)
    assert "--backend openai-chat --endpoint /v1/chat/completions" in said
    assert "--random-input-len 100 --random-output-len 20" in said
    assert "in the mean" in " ".join(vllm._notes(asked(protocol.Point("00", 30), target=chat)))
    ratio = "load.workload.options.range_ratio=0.25"
    assert "--random-range-ratio 0.25" in words(protocol.Point("00", 30), ratio)


def test_its_file_is_read_by_our_names() -> None:
    """Tokens and seconds in all; an older release does not count failures."""
    found = vllm.figures(RESULT)
    assert (20.0, 8.0, 2.0, 10.0) == (
        found["input_tokens"],
        found["output_tokens"],
        found["duration_s"],
        found["input_throughput"],
    )
    assert (1.0, 5.0, 9.0) == (found["failed"], found["mean_ttft_ms"], found["mean_e2el_ms"])
    old = {name: value for name, value in RESULT.items() if name != "failed"}
    assert 1.0 == vllm.figures(old)["failed"]


def test_it_is_the_engines_own_program() -> None:
    """With the model's files as the engine has them, and no hub."""
    argv = vllm_driver.command({"args": ["--x"], "folder": "/f"}, ENGINE)
    assert ["/env/bin/vllm", "bench", "serve", "--x"] == argv[:4]
    snapshot = "/data/models/hub/models--o--m/snapshots/c0ffee"
    assert snapshot == argv[argv.index("--tokenizer") + 1]
    assert {"HF_HOME", "HF_HUB_OFFLINE"} == vllm_driver.environment(ENGINE).keys()
    older = ENGINE | {"argv": ["/env/bin/python", "-m", "x", "--model", "/m"]}
    assert "/m" == vllm_driver.tokenizer(older)


def test_a_container_is_one_of_the_engines_image() -> None:
    """Beside it, with its mounts; the key by name alone."""
    engine = ENGINE | {"container": {"image": "r@sha256:0"}}
    argv = vllm_driver.command({"args": [], "folder": "/f", "container": "dyno-R"}, engine)
    said = " ".join(argv)
    assert said.startswith("docker run --rm --name dyno-R-opinion --network host")
    assert "--volumes-from dyno-R:ro --volume /f:/opinion" in said
    assert "--env OPENAI_API_KEY --entrypoint vllm r@sha256:0 bench serve" in said
    assert "--result-dir /opinion" in said


@contextmanager
def driven(folder: Path, then: str) -> Iterator[dict[str, Any]]:
    """A task with a tool that ends with *then*."""
    env = folder / "env" / "bin"
    env.mkdir(parents=True)
    code = FAKE.format(python=sys.executable, then=then, seen=folder / "seen")
    (env / "vllm").write_text(code)
    (env / "vllm").chmod(0o755)
    (folder / "opinion").mkdir()
    (folder / "key").write_text(f"{KEY}\n")
    engine = ENGINE | {"argv": [str(env / "vllm"), "serve", "/m"]}
    (folder / "manifest.json").write_text(json.dumps({"context": {"engine": engine}}))
    yield {
        "args": ["--num-prompts", "3"],
        "folder": str(folder / "opinion"),
        "manifest": str(folder / "manifest.json"),
        "container": "dyno-R",
        "api_key_file": str(folder / "key"),
        "limit_s": 20.0,
    }


WRITES = f"(folder / 'result.json').write_text({json.dumps(json.dumps(RESULT))})"


@pytest.mark.parametrize(
    ("then", "limit_s", "expected"),
    [
        (WRITES, 20.0, {"result": RESULT}),
        ("sys.exit(3)", 20.0, {"reason": "it ended with 3: starting with " + "*" * len(KEY)}),
        ("", 20.0, {"reason": "it wrote no result: starting with " + "*" * len(KEY)}),
        ("import time; time.sleep(60)", 0.5, None),
    ],
)
def test_the_key_is_in_its_environment_alone(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    then: str,
    limit_s: float,
    expected: dict[str, Any] | None,
) -> None:
    """In nothing that comes home; and whatever else it leaves is gone."""
    monkeypatch.chdir(tmp_path)
    with driven(tmp_path, then) as task:
        said = vllm_driver.measured(task | {"limit_s": limit_s})
    home = tmp_path / "opinion"
    if expected is None:
        assert "it did not end within" in said["reason"]
    else:
        seen = json.loads((tmp_path / "seen").read_text())
        assert (KEY, False) == (seen["env"]["OPENAI_API_KEY"], KEY in str(seen["argv"]))
        assert said == expected
    assert {"vllm-bench.log", "result.json"} >= {path.name for path in home.iterdir()}
    assert [] == [path for path in home.iterdir() if KEY in path.read_text()]
