"""Every known failure on a log as the engine prints it; none on anybody else's."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bench_agent.wire import decode
from provisioning.diagnosis import causes, diagnose, failures, shown
from provisioning.diagnosis.failure import SERVING, Failure
from provisioning.diagnosis.state import State
from provisioning.readiness_phases import PHASES
from provisioning.stack import ROOT

HERE = Path(__file__).parent
NAMES = sorted(path.parent.name for path in HERE.glob("*/log.txt"))


@dataclass(frozen=True)
class Case:
    """A log with the state beside it, and what is to be found, the root cause first."""

    log: str
    state: State
    findings: list[str]
    source: str


def case(name: str) -> Case:
    """What is in the folder *name*."""
    about: dict[str, Any] = json.loads((HERE / name / "expect.json").read_text())
    state = decode(State, about.get("state", {}))
    return Case((HERE / name / "log.txt").read_text(), state, about["findings"], about["source"])


@pytest.mark.parametrize("name", NAMES)
def test_exactly_what_is_expected_is_found(name: str) -> None:
    """The cause first; nothing that belongs to another log."""
    one = case(name)
    found = [finding.name for finding in diagnose(one.log, one.state)]

    assert one.findings == found
    assert one.source


def test_there_are_enough_and_each_has_a_log() -> None:
    """A new one is not done without; a healthy log has none."""
    expected = {finding for name in NAMES for finding in case(name).findings}
    known = [failure.name for failure in failures()]

    assert len([f for f in failures() if f.severity == "failure"]) >= 25
    assert len(set(known)) == len(known)
    assert set(known) == expected
    assert len([name for name in NAMES if not case(name).findings]) >= 3


@pytest.mark.parametrize("failure", failures(), ids=lambda failure: failure.name)
def test_each_is_whole(failure: Failure) -> None:
    """Sentences, sources, patterns that are some, phases that there are."""
    assert re.fullmatch(r"[A-Z].*[.]", failure.meaning)
    assert failure.advice.endswith(".")
    assert failure.sources
    assert failure.patterns or failure.state
    assert set(failure.phases) <= {*PHASES, SERVING}
    assert not [p for p in failure.patterns if re.search(p, "")]


@pytest.mark.parametrize("failure", failures(), ids=lambda failure: failure.name)
def test_keys_that_are_advised_exist(failure: Failure) -> None:
    """Advice must not name a key of recipes that there is not."""
    reference = (ROOT / "docs" / "reference" / "recipes.md").read_text()
    keys = re.findall(r"`(?:--set )?((?:engine|layout|model|load|host)\.[a-z_.]+)", failure.advice)
    free = [re.sub(r"^(engine\.(args|env)|host\.limits)\..*", r"\1", key) for key in keys]

    assert [] == [key for key in free if f"`{key}" not in reference]


def test_the_first_fatal_line_is_the_root_cause() -> None:
    """What fails later fails because of it."""
    log = """
        RuntimeError: NCCL error: unhandled cuda error
        Engine core initialization failed. See root cause above.
        OSError: [Errno 28] No space left on device
        RuntimeError: CUDA error: no kernel image is available for execution on the device
    """
    found = diagnose(log)

    assert ["disk-full", "no-kernel-image", "nccl-error", "engine-not-started"] == [
        one.name for one in found
    ]
    assert ["disk-full", "no-kernel-image"] == [one.name for one in causes(found)]
    assert ["disk-full"] == [one.name for one in causes(found, 1)]


def test_a_consequence_is_better_than_nothing() -> None:
    """Where the cause is not known."""
    found = diagnose("Engine core initialization failed. See root cause above.")

    assert ["engine-not-started"] == [one.name for one in causes(found)]


def test_findings_are_shown_with_what_to_do_and_where() -> None:
    """The state adds what it knows."""
    one = case("gpu-memory-taken")
    text = "\n".join(shown(diagnose(one.log, one.state)))

    assert text.startswith("1. Less memory is free on the GPU than")
    assert "On the GPUs there are also: python3 (process 812, 64112 MiB)." in text
    assert "To do: End what else uses the GPU" in text
    assert re.search(r"line \d+: .*Free memory on device cuda:0", text)
    assert "2. The engine's core did not start. (consequence)" in text


def test_colours_and_bars_do_not_hide_anything() -> None:
    """A log from a terminal."""
    log = "10%\r20%\x1b[31mOSError: [Errno 28] No space\x1b[0m left on device\r30%"

    assert ["disk-full"] == [one.name for one in diagnose(log)]


def test_a_long_log_is_searched_at_both_ends() -> None:
    """In bounded time."""
    chatter = 'INFO:     127.0.0.1:1 - "POST /v1/completions HTTP/1.1" 200 OK\n' * 100_000
    end = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate\n"
    log = f"INFO:     Application startup complete.\n{chatter}{end}"

    assert ["out-of-memory-serving"] == [one.name for one in diagnose(log)]


def test_what_fails_because_it_is_ended_is_no_failure() -> None:
    """Until it is started anew, with the same log."""
    ended = "[launcher.py:254] [shutdown] API server: shutdown triggered\n"
    dead = "vllm.v1.engine.exceptions.EngineDeadError: EngineCore encountered an issue.\n"
    again = "(APIServer pid=1) INFO [api_utils.py:286] non-default args: {}\n"

    assert [] == diagnose(ended + dead)
    assert ["engine-dead"] == [one.name for one in diagnose(dead + ended)]
    assert ["engine-dead"] == [one.name for one in diagnose(ended + again + dead)]
