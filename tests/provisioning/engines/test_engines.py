"""What engines say of themselves."""

from __future__ import annotations

import argparse
import json
from typing import Any

import pytest

from bench_agent.commands import simulate
from provisioning import engines, recipe
from provisioning.command import Secret
from provisioning.engines.base import API_KEY, PORT, Site, flags

SITE = Site("/usr/bin/python3", "/w/agent/a.pyz", Secret("k3y-k3y-k3y-k3y"))


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ({"max_num_seqs": 8}, ["--max-num-seqs", "8"]),
        ({"enable-x": True, "chunked": False}, ["--enable-x", "--no-chunked"]),
        ({"revision": None}, []),
        ({"lora": ["a", "b c"]}, ["--lora", "a", "b c"]),
        ({"config": {"a": [1]}}, ["--config", '{"a": [1]}']),
        ({"many": [{"a": 1}, 2]}, ["--many", '{"a": 1}', "2"]),
        ({"zero": 0, "share": 0.9}, ["--zero", "0", "--share", "0.9"]),
    ],
)
def test_arguments_become_flags(args: dict[str, Any], expected: list[str]) -> None:
    """In vLLM's manner, in the recipe's order."""
    assert expected == list(flags(args))


def test_the_simulator_runs_from_the_agent() -> None:
    """The whole command line, with a place for the port."""
    spec = engines.load("simulator").spec(recipe.load("rehearsal"), SITE)
    line = "/usr/bin/python3 -I -S /w/agent/a.pyz simulate --host 127.0.0.1 --port {port} "
    line += "--model simulated-1b --ttft-ms 50 --itl-ms 10 --max-num-seqs 256"
    assert tuple(line.split()) == spec.argv
    assert (1, None, 5.0) == (spec.argv.count(PORT), spec.port, spec.stop_grace_s)


def test_the_simulator_knows_the_flags_of_the_rehearsal() -> None:
    """Its own command line takes each of them, and reads the recipe's numbers."""
    spec = engines.load("simulator").spec(recipe.load("rehearsal"), SITE)
    parser = argparse.ArgumentParser()
    simulate.arguments(parser)
    read = parser.parse_args([word if word != PORT else "8000" for word in spec.argv[5:]])
    assert ("simulated-1b", 50.0, 10.0, 256) == (
        read.model,
        read.ttft_ms,
        read.itl_ms,
        read.max_num_seqs,
    )


def test_a_recipe_may_fix_port_and_environment() -> None:
    """They go to the launcher as they are."""
    settings = ["engine.port=8123", "engine.env.A=1", "timeouts.stop_s=2.5"]
    spec = engines.load("simulator").spec(recipe.load("rehearsal", settings), SITE)
    assert (8123, {"A": "1"}, 2.5) == (spec.port, spec.env, spec.stop_grace_s)


def test_what_the_manifest_says_holds_no_secret() -> None:
    """Names only; and it is plain JSON."""
    spec = engines.load("simulator").spec(recipe.load("rehearsal"), SITE)
    told = json.dumps(spec.describe())
    assert ([API_KEY], False) == (json.loads(told)["secret_env"], "k3y" in told)
