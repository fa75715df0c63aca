"""What goes wrong while opinions are taken: told, and nothing that was measured is lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench_agent.protocol import Target
from provisioning import recipe, second_opinion
from provisioning.errors import BenchError, CommandError, DynoError, RemoteError
from provisioning.host import Host
from provisioning.rundir import RunDir
from provisioning.second_opinion.base import Asked, Opinion

RUN = "20261121T120000Z-rehearsal-beef"


class Tool:
    """It leaves a file; at the first point it fails as it is told to."""

    VERSION = "1"

    def __init__(self, fails: DynoError | None) -> None:
        self.fails = fails
        self.asked: list[str] = []

    def unfit(self, *_: object) -> None:
        """It can play everything."""

    def measure(self, host: Host, asked: Asked, tell: object) -> Opinion:
        del host, tell
        self.asked.append(asked.point.name)
        Path(asked.folder, "left").write_text("x")
        if self.fails and len(self.asked) == 1:
            raise self.fails
        return Opinion("vllm", "1", asked.point.name, {"completed": 4.0})


Taken = tuple[Tool, list[str], dict[str, Any] | None, RunDir]


@pytest.fixture
def take(host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Taken]:
    """Take opinions of two points: the tool, what was told, and what is written."""
    run = RunDir(tmp_path / RUN)
    run.home.mkdir(parents=True)
    loaded = recipe.load("rehearsal", ["second_opinion=[vllm]"])
    points = [SimpleNamespace(point=p, completed=4, duration_s=1.0) for p in loaded.points()]
    summary = SimpleNamespace(points=points, calibration=None)
    monkeypatch.setattr(second_opinion, "load_summary", lambda _: summary)
    monkeypatch.setattr(second_opinion, "compared", lambda opinion, *_: {"reason": opinion.reason})

    def taken(fails: DynoError | None = None) -> Taken:
        tool, said = Tool(fails), list[str]()
        monkeypatch.setattr(second_opinion, "load", lambda _: tool)
        target = Target(("http://127.0.0.1:9",), "m")
        return tool, said, second_opinion.take(host, loaded, target, run, said.append), run

    return taken


@pytest.mark.integration
@pytest.mark.parametrize("fails", [None, BenchError("no"), CommandError("x", 1)])
def test_a_tool_that_fails_is_asked_for_the_next_point(
    take: Callable[..., Taken], fails: DynoError | None
) -> None:
    """What it left is at home either way."""
    tool, _, _, run = take(fails)

    points = json.loads((run.home / "second_opinion.json").read_text())["tools"]["vllm"]["points"]
    assert ["00-c4", "01-inf"] == tool.asked == list(points)
    assert 2 == len(list(run.home.glob("second_opinion/vllm/*/left")))


@pytest.mark.integration
def test_a_broken_connection_ends_the_opinions(take: Callable[..., Taken]) -> None:
    """The tool may be at work still: another point beside it would be measured wrongly."""
    tool, said, _, run = take(RemoteError("The connection broke."))

    points = json.loads((run.home / "second_opinion.json").read_text())["tools"]["vllm"]["points"]
    assert (["00-c4"], {"00-c4": {"reason": "The connection broke"}}) == (tool.asked, points)
    assert "There is no further second opinion: The connection broke." == said[-1]
    assert not (run.home / "second_opinion").exists()


def _only_makes(host: Host, command: Any, label: str) -> None:
    """Folders are made; none is removed."""
    del host, label
    if not isinstance(command, str):
        raise CommandError("rm", 1)
    Path(command).mkdir(parents=True)


@pytest.mark.integration
def test_a_leftover_takes_no_figures_away(
    take: Callable[..., Taken], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be read or removed on the host is no reason."""
    monkeypatch.setattr(second_opinion.files, "make", lambda folder, _: folder)
    monkeypatch.setattr(Host, "execute", _only_makes)

    _, _, told, _ = take()

    assert told is not None
    assert ["", ""] == [one["reason"] for one in told["tools"]["vllm"]["points"].values()]


@pytest.mark.integration
def test_a_home_that_cannot_be_written_is_told(
    take: Callable[..., Taken], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A series goes on."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(second_opinion, "durable", full)

    _, said, told, _ = take()

    assert told is not None
    assert "The second opinion is not written: [Errno 28] No space left on device" == said[-1]
