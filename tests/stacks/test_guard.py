"""The guard's resource; what is judged lies in provisioning, here are stand-ins for it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from stacks import guard
from stacks.clouds import existing
from stacks.failure import Failure

PROPS: dict[str, Any] = {
    "cloud": "existing",
    "vm_id": "vm-1",
    "handle": {"vm_id": "vm-1"},
    "outputs": '{"stack": "s", "ssh_private_key": null}',
}
UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "provisioning").mkdir()
    (tmp_path / "provisioning/__init__.py").touch()
    monkeypatch.setattr(guard, "CHECKOUT", tmp_path)
    monkeypatch.delenv("LLM_DYNO_RESULTS", raising=False)
    return tmp_path


def judge(checkout: Path, *lines: str) -> None:
    text = "\n".join(("import json, sys", *lines))
    (checkout / "provisioning/guard.py").write_text(text)


def says(passes: bool, message: str) -> str:
    answer = {"pass": passes, "message": message, "collected": [], "lost": []}
    return f"print({json.dumps(json.dumps(answer))})"


def delete() -> None:
    guard.GuardProvider().delete("guard-vm-1", PROPS)


def refusal() -> str:
    with pytest.raises(Failure) as caught:
        delete()
    return str(caught.value)


@pytest.mark.parametrize("vm_id", ["vm-2", UNKNOWN])
def test_another_machine_replaces_the_guard_before_it_goes(vm_id: str) -> None:
    """A machine that is not known yet is another one."""
    result = guard.GuardProvider().diff("id", PROPS, {**PROPS, "vm_id": vm_id})

    assert (["vm_id"], True) == (result.replaces, result.delete_before_replace)


def test_the_same_machine_keeps_its_guard() -> None:
    """Nothing changed, nothing to do."""
    assert False is guard.GuardProvider().diff("id", PROPS, {**PROPS}).changes


def test_new_outputs_are_remembered() -> None:
    """A machine that was woken on another port is still reached."""
    news = {**PROPS, "outputs": '{"stack": "s", "port": 2}'}

    result = guard.GuardProvider().diff("id", PROPS, news)

    assert (True, None) == (result.changes, result.replaces)
    assert news == guard.GuardProvider().update("id", PROPS, news).outs


def test_creation_keeps_what_deletion_needs() -> None:
    """The program does not run when a stack is destroyed."""
    made = guard.GuardProvider().create(PROPS)

    assert ("guard-vm-1", PROPS) == (made.id, made.outs)


@pytest.mark.integration
def test_a_pass_lets_the_machine_go(checkout: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Its progress and its message are shown."""
    judge(checkout, "print('collecting', file=sys.stderr)", says(True, "all is home"))

    delete()

    assert "collecting\nall is home\n" == capfd.readouterr().err


@pytest.mark.integration
def test_the_question_comes_on_standard_input(checkout: Path) -> None:
    """Outputs, the folder of results, and whether the cloud still has the machine."""
    judge(checkout, "open('asked', 'w').write(sys.stdin.read())", says(True, ""))

    delete()

    asked = json.loads((checkout / "asked").read_text())
    results = str(checkout / "results")
    outputs = {"stack": "s", "ssh_private_key": None}
    assert {"outputs": outputs, "results": results, "host_exists": True} == asked


@pytest.mark.integration
def test_results_may_lie_elsewhere(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """LLM_DYNO_RESULTS names the folder."""
    monkeypatch.setenv("LLM_DYNO_RESULTS", "/elsewhere")
    judge(checkout, "q = json.load(sys.stdin)", "print(q['results'], file=sys.stderr)",
          says(True, "") + " if q['results'] == '/elsewhere' else sys.exit(9)")  # fmt: skip

    delete()


@pytest.mark.integration
def test_a_machine_that_is_gone_is_not_woken(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The judge is told so."""

    def gone(handle: Mapping[str, Any]) -> bool:
        return False

    def woken(handle: Mapping[str, Any]) -> None:
        raise AssertionError

    monkeypatch.setattr(existing.GpuHost, "exists", staticmethod(gone))
    monkeypatch.setattr(existing.GpuHost, "wake", staticmethod(woken))
    judge(checkout, "sys.exit(json.load(sys.stdin)['host_exists'] is not False)")

    assert "exit code 0" in refusal()  # it said no word, so it is not believed


@pytest.mark.integration
def test_a_refusal_is_its_message(checkout: Path) -> None:
    """Word for word."""
    judge(checkout, says(False, "Run r is not home. Say `fab abandon`."), "sys.exit(1)")

    assert "Run r is not home. Say `fab abandon`." == refusal()


@pytest.mark.integration
@pytest.mark.parametrize(
    ("lines", "exit_code", "last"),
    [
        (["sys.exit('it broke')"], 1, "it broke"),
        (["sys.exit(2)"], 2, "it said nothing"),
        (["print('{}')"], 0, "it said nothing"),
        (["print('[]')"], 0, "it said nothing"),
        ([says(True, "fine"), "sys.exit(3)"], 3, "fine"),
        ([says(False, "no"), "sys.exit(0)"], 0, "no"),
        (["raise ValueError('bad')"], 1, "ValueError: bad"),
    ],
    ids=["sentence", "code", "empty", "list", "pass-but-3", "refuse-but-0", "bug"],
)
def test_whoever_cannot_judge_refuses(
    checkout: Path, lines: list[str], exit_code: int, last: str
) -> None:
    """Only a whole answer with its exit code is a pass."""
    judge(checkout, *lines)

    assert f"could not be judged (exit code {exit_code}: {last})" in refusal()
