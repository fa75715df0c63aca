"""Requests like a run's, for another client to send."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench_agent import cli, storage
from bench_agent.layout import Workdir
from bench_agent.protocol import SCHEMA, Point, RunSpec, Target, Workload
from bench_agent.wire import encode

RUN = "20261121T120000Z-rehearsal-beef"
Prompts = Callable[..., tuple[int, list[dict[str, Any]], str]]


def called(workdir: Path, *argv: str) -> int:
    """The command's exit code; the umask that it sets is its own."""
    mask = os.umask(0o077)
    try:
        return cli.execute(["prompts", "--workdir", str(workdir), *argv])
    finally:
        os.umask(mask)


@pytest.fixture
def prompts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Prompts:
    """Write a run's spec, and ask for prompts like its."""

    def run(
        url: str, api: str = "chat", stream: str = "other", **server: Any
    ) -> tuple[int, list[dict[str, Any]], str]:
        spec = RunSpec(
            schema=SCHEMA,
            run_id=RUN,
            stack="local",
            recipe="rehearsal",
            target=Target((url,), "simulated", api),
            workload=Workload(input_len=40, output_len=7),
            points=(Point("00-c2", 4, 2),),
            planned_s=60.0,
        )
        folder = Workdir(tmp_path).run(RUN)
        folder.control.mkdir(parents=True, exist_ok=True)
        storage.write_json(folder.spec, encode(spec))
        if server:
            (folder.path / "summary.json").write_text(json.dumps({"server": server}))
        argv = ("--run", RUN, "--stream", stream, "--count", "3")
        code = called(tmp_path, *argv)
        said = capsys.readouterr()
        return code, [json.loads(line) for line in said.out.splitlines()], said.err

    return run


def test_prompts_are_as_long_as_the_runs(simulate: Callable[..., str], prompts: Prompts) -> None:
    """As the server counts; each its own."""
    code, made, _ = prompts(simulate())

    assert (0, [40] * 3, [7] * 3) == (
        code,
        [one["prompt_tokens"] for one in made],
        [one["max_tokens"] for one in made],
    )
    assert 3 == len({one["prompt"] for one in made})


def test_another_stream_has_other_prompts(simulate: Callable[..., str], prompts: Prompts) -> None:
    """What was sent once would be in the prefix cache; the same stream is the same again."""
    url = simulate()
    _, one, _ = prompts(url)
    _, again, _ = prompts(url)
    _, other, _ = prompts(url, stream="00-c2")

    assert one
    assert one == again
    assert not {each["prompt"] for each in one} & {each["prompt"] for each in other}


def test_completions_have_token_ids(prompts: Prompts) -> None:
    """Nobody has to be asked for those."""
    code, made, _ = prompts("http://127.0.0.1:9", api="completions")

    assert (0, [40] * 3) == (code, [len(one["prompt"]) for one in made])


def test_a_server_without_a_tokenizer_is_not_asked(prompts: Prompts) -> None:
    """The run has found that out."""
    code, made, _ = prompts("http://127.0.0.1:9", tokenize=False, notes=["It does not count."])

    assert (0, [None] * 3) == (code, [one["prompt_tokens"] for one in made])
    assert all(isinstance(one["prompt"], str) for one in made)


def test_a_server_that_is_gone_is_one_sentence(prompts: Prompts) -> None:
    """On standard error, with an exit code."""
    code, made, said = prompts("http://127.0.0.1:9")

    assert (1, []) == (code, made)
    assert said.startswith("The prompts of the run cannot be made: ")
    assert 1 == len(said.splitlines())


def test_a_run_that_is_not_there_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As with the other commands."""
    argv = ("--run", RUN, "--stream", "s", "--count", "1")

    assert 4 == called(tmp_path, *argv)
    assert f"There is no run {RUN}" in capsys.readouterr().err
