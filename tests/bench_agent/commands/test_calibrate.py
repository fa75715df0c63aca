"""Tests of ``calibrate``."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench_agent import cli
from bench_agent.calibration import CalibrationError, Shape
from bench_agent.commands import calibrate
from bench_agent.protocol import Limits

pytestmark = pytest.mark.usefixtures("own_signals")

Call = Callable[..., tuple[int, str, str]]
FOUND = {"streams": 8, "note": None}


@pytest.fixture
def call(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Call:
    """Run it; exit code, standard output and standard error."""

    def run(*flags: str) -> tuple[int, str, str]:
        mask = os.umask(0o077)
        try:
            code = cli.execute(["calibrate", "--workdir", str(tmp_path), *flags])
        finally:
            os.umask(mask)
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What is asked for of each measurement, which takes no time."""
    calls: list[Any] = []

    def find(shape: Shape, cache: Path, tick: Any, limits: Limits, **more: Any) -> dict[str, Any]:
        assert tick(None)
        assert Limits() == limits
        more.pop("say")("a rung")
        calls.append((shape, cache.name, more))
        return FOUND

    monkeypatch.setattr(calibrate, "find", find)
    return calls


def test_one_object_goes_to_standard_output(call: Call, asked: list[Any]) -> None:
    """Progress goes beside it."""
    code, out, err = call("--streams", "8")

    assert (0, FOUND) == (code, json.loads(out))
    assert [
        "The client against its own simulator: 8 streams at 800 tokens/s, 1.4 s a measurement.",
        "a rung",
    ] == err.splitlines()
    assert [(Shape(8, 800.0, 1), "calibration", {"ladder": False, "force": False})] == asked


def test_the_flags_say_what_is_measured(call: Call, asked: list[Any]) -> None:
    """All of them together."""
    call("--streams=9", "--tokens-per-s=50.5", "--workers=3", "--ladder", "--force")

    assert [(Shape(9, 50.5, 3), "calibration", {"ladder": True, "force": True})] == asked


def test_many_streams_have_more_workers(
    call: Call, asked: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a run would have, within the cores that there are."""
    monkeypatch.setattr("os.cpu_count", lambda: 3)
    call("--streams", "1025")
    call("--streams", "4096")

    assert [2, 3] == [shape.workers for shape, _, _ in asked]


def test_a_late_machine_is_told(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the person who waits, too."""
    monkeypatch.setattr(calibrate, "find", lambda *_args, **_more: {"note": "It was late."})

    assert "It was late." == call("--streams", "8")[2].splitlines()[-1]


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--streams=0"], "--streams must be from 1 to 4096, got 0."),
        (["--streams=4097"], "--streams must be from 1 to 4096, got 4097."),
        (["--streams=1", "--tokens-per-s=0"], "--tokens-per-s must be more than 0, got 0."),
        (["--streams=1", "--tokens-per-s=nan"], "--tokens-per-s must be more than 0, got nan."),
        (["--streams=1", "--tokens-per-s=inf"], "--tokens-per-s must be more than 0, got inf."),
        (["--streams=1", "--workers=0"], "--workers must be at least 1, got 0."),
    ],
)
def test_bad_flags_are_named(call: Call, asked: list[Any], flags: list[str], named: str) -> None:
    """Exit code 2, and nothing is measured."""
    assert (2, "", named + "\n") == call(*flags)
    assert [] == asked


@pytest.mark.parametrize("flags", [[], ["--streams=x"]])
def test_flags_that_are_none_are_refused(call: Call, flags: list[str]) -> None:
    """By the parser, with the same exit code."""
    with pytest.raises(SystemExit) as ended:
        call(*flags)

    assert 2 == ended.value.code


def test_what_could_not_be_measured_is_said(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 5, nothing on standard output."""

    def find(*_args: object, **_more: object) -> None:
        raise CalibrationError("The host is too busy.")

    monkeypatch.setattr(calibrate, "find", find)
    code, out, err = call("--streams", "8")

    assert (5, "", "The host is too busy.") == (code, out, err.splitlines()[-1])


def test_a_signal_ends_it_in_order(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """The measurement is told, and cleans up."""
    ticks: list[bool] = []

    def find(_shape: Shape, _cache: Path, tick: Any, *_args: object, **_more: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        ticks.append(tick(None))
        raise CalibrationError("it was stopped.")

    monkeypatch.setattr(calibrate, "find", find)

    assert (5, [False]) == (call("--streams", "8")[0], ticks)


@pytest.mark.integration
def test_a_client_is_measured(call: Call) -> None:
    """For real: what the controller shows is there, and every token was compared."""
    code, out, _err = call("--streams=2", "--tokens-per-s=400")
    found = json.loads(out)

    assert (0, 2, 2 * 2 * 127, 1) == (code, found["streams"], found["tokens"], out.count("\n"))
    assert {
        "tokens_per_s",
        "ttft_error_ms",
        "itl_error_ms",
        "true_itl_ms",
        "coalesced_share",
        "cpu_us_per_token",
        "lag_ms",
        "highest_believable_tokens_per_s",
        "measured_ns",
        "cached",
    } <= set(found)
