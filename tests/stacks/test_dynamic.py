from __future__ import annotations

import traceback

import pytest
from pulumi.dynamic import Config, ConfigureRequest

from stacks.dynamic import Provider, tell
from stacks.failure import Failure


@pytest.fixture
def configured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traceback, "format_exc", traceback.format_exc)  # put back afterwards
    Provider().configure(ConfigureRequest(Config({}, "llm-dyno")))


def told(error: Exception) -> str:
    def delete() -> None:
        raise error

    try:
        delete()
    except Exception:  # noqa: BLE001 - what the plug-in does
        return traceback.format_exc()


def test_a_failure_is_told_as_its_message_alone(configured: None) -> None:
    """What the plug-in sends to the engine holds no traceback."""
    assert "The port is in use." == told(Failure("The port is in use."))


def test_a_bug_keeps_its_traceback(configured: None) -> None:
    """Whoever has to mend it needs it."""
    text = told(ZeroDivisionError("oops"))

    assert text.startswith("Traceback")
    assert "ZeroDivisionError: oops" in text


def test_the_state_holds_no_secret_provider() -> None:
    """A class name needs no encryption."""
    assert False is Provider.serialize_as_secret_always


def test_lines_go_to_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    """That is what the engine shows while it runs; stdout is the plug-in's own."""
    tell("collecting")

    assert ("", "collecting\n") == capfd.readouterr()
