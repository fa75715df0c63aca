"""`fab calibrate`: its table, and arguments that are none."""

from __future__ import annotations

import json
from typing import Any

import pytest
from invoke.context import Context

from fabfile import client
from provisioning import calibration
from provisioning.progress import Progress
from provisioning.site import Site

FOUND = {
    "key": {"cpu": "x"},
    "streams": 1024,
    "tokens_per_s": 20480.0,
    "ttft_error_ms": {"mean": 0.184, "p99": 1.412, "max": 2.5},
    "itl_error_ms": {"mean": 0.011, "p99": 0.2, "max": 12.25},
    "coalesced_share": 0.0123,
    "cpu_us_per_token": 3.217,
    "highest_believable_tokens_per_s": 91234.5,
    "highest_is_lower_bound": True,
    "note": None,
    "cached": True,
}
TABLE = """\
Load client on vm, 1024 streams, 20,480 tokens/s (known from an earlier one)
                              mean       P99       max
TTFT error (ms)              0.184     1.412     2.500
ITL error (ms)               0.011     0.200    12.250
Several tokens a read         1.2%
CPU per token (us)            3.22
To be believed up to    91,234 tokens/s or more"""


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the agent was asked for, instead of asking it."""
    seen: list[Any] = []

    def calibrate(place: Site, progress: Progress, *argv: str) -> dict[str, Any]:
        seen.extend((place.stack, *argv))
        return FOUND

    monkeypatch.setattr(calibration, "calibrate", calibrate)
    return seen


def test_the_table_is_small() -> None:
    """One line a figure, within 80 columns."""
    lines = list(client.lines(FOUND, "vm"))

    assert TABLE == "\n".join(lines)
    assert max(map(len, lines)) <= 80


def test_what_cannot_be_believed_is_said() -> None:
    """Where no rate can be believed, and where the machine itself was late."""
    note = "The machine itself was late. " * 4
    unknown = {"highest_believable_tokens_per_s": None, "cached": False, "note": note}
    lines = list(client.lines(FOUND | unknown, "vm"))

    assert "To be believed up to    not even that" == lines[-3]
    assert note.strip() == " ".join(lines[-2:])
    assert max(map(len, lines)) <= 80
    assert "earlier" not in lines[0]


def test_without_a_stack_it_is_this_machine(
    asked: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """The answer is printed under its name."""
    client.calibrate(Context())

    assert ["url", "--ladder", "--streams", "256"] == asked
    assert capsys.readouterr().out.startswith("Load client on this machine, 1024 streams")


def test_json_is_what_the_agent_said(asked: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing taken away; and every argument reaches the agent."""
    client.calibrate(
        Context(), streams="8", tokens_per_s="99.5", workers="2", force=True, json=True
    )

    assert FOUND == json.loads(capsys.readouterr().out)
    expected = ["--streams", "8", "--tokens-per-s", "99.5", "--workers", "2", "--force"]
    assert expected == asked[2:]


@pytest.mark.parametrize(
    "wrong",
    [
        {"streams": "0"},
        {"streams": "many"},
        {"workers": "-1"},
        {"tokens_per_s": "fast"},
        {"tokens_per_s": "0"},
        {"tokens_per_s": "inf"},
    ],
)
def test_a_wrong_number_is_told(
    asked: list[Any], wrong: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is asked of any host."""
    with pytest.raises(SystemExit) as ended:
        client.calibrate(Context(), **wrong)

    (flag,) = wrong
    assert (2, []) == (ended.value.code, asked)
    assert f"--{flag.replace('_', '-')} is" in capsys.readouterr().err
