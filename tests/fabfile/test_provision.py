"""`fab provision`: what a person reads, and the exit code."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from invoke.context import Context

import fabfile
from provisioning import provision as deploys
from provisioning import stack as stacks
from provisioning.deploys.report import Report, StepReport
from provisioning.errors import DynoError, HostError, RemoteError, StackError
from provisioning.recipe_schema import Recipe
from stacks.outputs import HostOutput, Price, StackOutputs

REPORT = Report("a", (StepReport("docker", ("apt",), 3.0, changed=True),), 3.5)
REFUSED = HostError("It is too small.", "Take a larger one.", phase="provision.preflight")
CUT = RemoteError("The connection to b broke.", "Try again.")


def outputs(*names: str) -> StackOutputs:
    price = Price(0.0, "owned", "me", "2026-01-01")
    hosts = tuple(HostOutput(n, (), "127.0.0.1", 1, "u", (), "/w") for n in names)
    when = "2026-01-01T00:00:00+00:00"
    return StackOutputs(1, "s", "o", "c", "", "", hosts, (), None, price, when, None, "rehearsal")


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """Lets the hosts come to given ends; what was asked for is in what it returns."""

    def let(*ends: Report | DynoError) -> dict[str, Any]:
        asked: dict[str, Any] = {}

        def stand_in(of: StackOutputs, recipe: Recipe, tell: Any, *, dry_run: bool) -> list[Any]:
            asked.update(hosts=len(of.hosts), recipe=recipe, dry_run=dry_run)
            tell(of.hosts[0].name, "docker", "installing")
            return list(ends)

        monkeypatch.setattr(deploys, "provision_stack", stand_in)
        monkeypatch.setattr(stacks, "load", lambda _: outputs(*"abcdefgh"[: len(ends)]))
        return asked

    return let


def provision(**flags: Any) -> int:
    with pytest.raises(SystemExit) as ended:
        fabfile.provision(Context(), stack="s", **flags)
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_what_was_done_is_said_host_by_host(
    found: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """Progress on standard error, the end on standard output."""
    asked = found(REPORT, Report("b", (StepReport("docker"),), 0.2))
    assert 0 == provision()
    captured = capsys.readouterr()
    assert ["a: changed docker (3.5 s)", "b: nothing to change (0.2 s)"] == captured.out.split("\n")[:2]  # fmt: skip  # noqa: E501
    assert "a docker: installing\n" == captured.err
    assert ("rehearsal", False, 2) == (asked["recipe"].name, asked["dry_run"], asked["hosts"])


def test_the_worst_end_is_the_exit_code(
    found: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """Every host is told of, the failed ones last, each with what to do."""
    found(CUT, REPORT, REFUSED)
    assert 5 == provision()
    captured = capsys.readouterr()
    assert "a: changed docker" in captured.out
    *_, last = captured.err.splitlines()
    assert "Take a larger one." == last
    assert "a: not provisioned\nError (connect): The connection to b broke.\n" in captured.err
    assert "c: not provisioned\nError (provision.preflight): It is too small.\n" in captured.err


def test_json_is_one_document(
    found: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """Reports and errors, in the stack's order."""
    found(REPORT, REFUSED)
    assert 5 == provision(json=True)
    told = json.loads(capsys.readouterr().out)
    assert ("s", "rehearsal", True) == (told["stack"], told["recipe"], told["seconds"] >= 0)
    assert ["docker"] == told["hosts"][0]["changed"]
    assert ("b", "provision.preflight") == (
        told["hosts"][1]["host"],
        told["hosts"][1]["error"]["phase"],
    )


def test_recipe_overrides_and_dry_run_are_passed_on(found: Callable[..., Any]) -> None:
    """As the flags say."""
    asked = found(REPORT)
    assert 0 == provision(recipe="rehearsal", set_=["host.packages=[jq]"], dry_run=True)
    assert (["jq"], True) == (asked["recipe"].host.packages, asked["dry_run"])


def test_an_interruption_says_how_to_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is lost by it."""

    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(stacks, "load", lambda _: outputs("a"))
    monkeypatch.setattr(deploys, "provision_stack", interrupted)
    assert 130 == provision()
    assert "`fab provision --stack s` does the rest" in capsys.readouterr().err


def test_a_stack_of_urls_has_nothing_to_provision(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is said."""
    monkeypatch.setattr(stacks, "load", lambda _: outputs())
    assert StackError.exit_code == provision()
    assert "no host to provision" in capsys.readouterr().err


def test_a_recipe_that_is_wrong_is_told_before_anything_is_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Pulumi may take a while to answer."""
    monkeypatch.setattr(stacks, "load", lambda _: pytest.fail("asked"))
    assert 2 == provision(recipe="rehearsal", set_=["host.nope=1"])
    assert "nope" in capsys.readouterr().err
