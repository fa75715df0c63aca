"""What a stack says, and what it has cost."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from provisioning import stack
from provisioning.errors import StackError
from stacks.outputs import Price, StackOutputs

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
OUTPUTS = StackOutputs(
    schema=1,
    stack="g4",
    owner_label="me",
    cloud="gcp",
    region="us-central1",
    zone="us-central1-b",
    hosts=(),
    endpoints=(),
    ssh_private_key=None,
    price=Price(4.5, "on-demand", "list", "2026-11-01"),
    created_at="2026-11-21T10:00:00+00:00",
    expires_at="2026-11-21T14:00:00+00:00",
    recipe="rehearsal",
)


@pytest.fixture
def pulumi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for the engine's command line that prints `answer` or fails with `stderr`."""
    script = tmp_path / "pulumi"
    script.write_text(
        f"#!/bin/sh\n[ -f {tmp_path}/stderr ] && cat {tmp_path}/stderr >&2 && exit 255\n"
        f"cat {tmp_path}/answer\n"
    )
    script.chmod(0o755)
    monkeypatch.setattr(stack, "_pulumi", lambda: str(script))
    return tmp_path


def test_time_left_is_counted_from_now() -> None:
    """The lease's end less now."""
    assert timedelta(hours=2) == stack.time_left(OUTPUTS, NOW)


def test_a_stack_without_expiry_has_no_time_left_to_tell() -> None:
    """None, and not zero."""
    assert stack.time_left(replace(OUTPUTS, expires_at=None), NOW) is None


def test_money_spent_is_hours_times_price() -> None:
    """Two hours at $4.50."""
    assert pytest.approx(9.0) == stack.spent_usd(OUTPUTS, NOW)


def test_nothing_is_spent_after_expiry() -> None:
    """The provider has ended the machine by then."""
    assert pytest.approx(18.0) == stack.spent_usd(OUTPUTS, NOW + timedelta(days=3))


def test_a_plan_longer_than_the_time_left_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten minutes are kept for bringing results home."""
    monkeypatch.setattr(stack, "time_left", lambda _: timedelta(minutes=30))

    with pytest.raises(StackError, match="may take 21 min, but the stack g4 has 20 min left"):
        stack.require_time(OUTPUTS, 21 * 60)


def test_a_plan_that_just_fits_is_let_through(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound is inclusive."""
    monkeypatch.setattr(stack, "time_left", lambda _: timedelta(minutes=30))

    stack.require_time(OUTPUTS, 20 * 60)


@pytest.mark.parametrize(
    ("seconds", "text"), [(-5, "0 s"), (40, "40 s"), (720, "12 min"), (14700, "4 h 05 min")]
)
def test_spans_are_said_as_people_say_them(seconds: int, text: str) -> None:
    """Seconds, minutes, or hours and minutes."""
    assert text == stack.minutes(timedelta(seconds=seconds))


def test_outputs_are_read_from_the_engine(pulumi: Path) -> None:
    """What the stack exported is what provisioning sees."""
    (pulumi / "answer").write_text(json.dumps(OUTPUTS.as_dict()))

    assert OUTPUTS == stack.load("g4")


def test_outputs_that_were_asked_for_ahead_are_not_asked_for_twice(pulumi: Path) -> None:
    """The one who wants them takes the answer; the next one asks again."""
    (pulumi / "answer").write_text(json.dumps(OUTPUTS.as_dict()))
    script, asked = pulumi / "pulumi", pulumi / "asked"
    script.write_text(script.read_text().replace("\n", f"\necho asked >>{asked}\n", 1))
    counts = []
    stack.ahead("g4")
    for _ in range(2):
        assert OUTPUTS == stack.load("g4")
        counts.append(len(asked.read_text().splitlines()))
    assert [1, 2] == counts


def test_a_missing_engine_is_told_by_who_needs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not by who only asked ahead."""

    def absent() -> str:
        raise StackError("The Pulumi engine is not on PATH.")

    monkeypatch.setattr(stack, "_pulumi", absent)
    stack.ahead("local")
    with pytest.raises(StackError, match="not on PATH"):
        stack.load("local")


def test_a_stack_that_is_not_up_says_how_to_bring_it_up(pulumi: Path) -> None:
    """No outputs is no stack that could be used."""
    (pulumi / "answer").write_text("{}")

    with pytest.raises(StackError, match=r"g4 is not up\. Run `pulumi up --stack g4`"):
        stack.load("g4")


def test_outputs_of_another_release_name_the_key(pulumi: Path) -> None:
    """An unknown key is named with its path."""
    price = {"price": {"usd_per_hour": 1, "colour": "red"}}
    (pulumi / "answer").write_text(json.dumps(OUTPUTS.as_dict() | price))

    with pytest.raises(StackError, match=r"price\.colour: unknown key"):
        stack.load("g4")


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("error: no stack named 'g4' found", "There is no stack g4"),
        ("error: incorrect passphrase", "passphrase is missing or wrong"),
        ("error: PULUMI_ACCESS_TOKEN must be set", "source activate"),
        ("error: the sky fell", "failed"),
    ],
)
def test_what_the_engine_refuses_is_explained(pulumi: Path, said: str, told: str) -> None:
    """Each refusal is a sentence of ours, without a traceback."""
    (pulumi / "stderr").write_text(said)

    with pytest.raises(StackError, match=told):
        stack.load("g4")


def test_an_engine_that_does_not_answer_is_told(
    pulumi: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was asked, for how long, and what to do; it is ended."""
    monkeypatch.setattr(stack, "_TIMEOUT_S", 0.2)
    (pulumi / "pulumi").write_text("#!/bin/sh\nexec sleep 60\n")

    with pytest.raises(StackError, match=r"`pulumi stack output` did not answer") as caught:
        stack.load("g4")
    assert "pulumi whoami" in caught.value.advice


def test_an_answer_that_is_no_json_is_told(pulumi: Path) -> None:
    """A warning on standard output, say."""
    (pulumi / "answer").write_text("warning: old")

    with pytest.raises(StackError, match="no JSON"):
        stack.load("g4")


def test_known_stacks_hold_the_presets_even_without_an_engine(pulumi: Path) -> None:
    """A list for messages never fails."""
    (pulumi / "stderr").write_text("error: nothing works")

    assert "local" in stack.known()
