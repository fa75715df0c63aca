"""How tasks are declared: help that prints, missing stacks that are named, honest exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from invoke.context import Context

import fabfile
from fabfile.tasks import require_stack, task
from provisioning import stack as stacks
from provisioning.errors import CollectError, UsageError
from reporting.errors import ReportError

CHECKOUT = Path(__file__).resolve().parents[2]


@task()
def _failing(c: Any, error: Any = None, json: bool = False) -> None:
    """Fail as told."""
    del c, json
    raise error


def _run(error: BaseException, **flags: Any) -> int:
    with pytest.raises(SystemExit) as ended:
        _failing(Context(), error=error, **flags)
    assert isinstance(ended.value.code, int)
    return ended.value.code


#: Those that only read recipes.
OF_NO_STACK = ("recipes", "render")


@pytest.mark.integration
@pytest.mark.parametrize("name", fabfile.__all__)
def test_help_is_printed_for_every_task(name: str) -> None:
    """`fab TASK -h` prints help, and never takes -h for the stack's name."""
    done = subprocess.run(
        ["fab", name, "-h"], cwd=CHECKOUT, capture_output=True, text=True, check=False
    )

    assert (0, True) == (done.returncode, f"Usage: fab [--core-opts] {name}" in done.stdout)
    assert ("--stack" in done.stdout) == (name not in OF_NO_STACK)


# In a process of its own: invoke hands out a task's help once.
_ARGUMENTS = """
import json, fabfile
tasks = {name: getattr(fabfile, name).get_arguments() for name in fabfile.__all__}
print(json.dumps({name: {a.name: a.help for a in args} for name, args in tasks.items()}))
"""


def test_every_argument_of_every_task_is_explained() -> None:
    """No flag without help."""
    done = subprocess.run(
        [sys.executable, "-c", _ARGUMENTS], cwd=CHECKOUT, capture_output=True, check=True
    )
    tasks = json.loads(done.stdout)

    assert sorted(fabfile.__all__) == sorted(tasks)
    assert all(arguments and all(arguments.values()) for arguments in tasks.values()), tasks


def test_a_missing_stack_lists_the_known_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without --stack a task says which there are."""
    monkeypatch.setattr(stacks, "known", lambda: ["g4", "local"])

    with pytest.raises(UsageError, match="g4, local"):
        require_stack(None)


def test_an_error_ends_with_the_code_of_its_phase(capsys: pytest.CaptureFixture[str]) -> None:
    """What happened and what to do, on standard error."""
    assert 8 == _run(CollectError("Not whole.", "Collect again."))
    assert "Error (collect): Not whole.\nCollect again.\n" == capsys.readouterr().err


def test_the_log_is_shown_before_the_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    """The last thing that a person reads is what to do."""
    _run(CollectError("Not whole.", "Collect again.", log="a\nb"))

    assert ["  | a", "  | b"] == capsys.readouterr().err.splitlines()[:2]


def test_an_error_is_json_where_json_was_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    """Scripts get the same as an object."""
    _run(CollectError("Not whole.", "Collect again."), json=True)

    error = json.loads(capsys.readouterr().out)["error"]
    assert ("Not whole.", 8, True) == (error["what"], error["exit_code"], error["retryable"])


def test_a_report_that_cannot_be_written_is_an_error_like_others(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Reporting's own error reaches nobody as a traceback."""
    assert 9 == _run(ReportError("Broken.", "Mend it."))
    assert "Error (report): Broken." in capsys.readouterr().err


def test_an_interruption_is_130(capsys: pytest.CaptureFixture[str]) -> None:
    """Ctrl-C is no error of ours."""
    assert 130 == _run(KeyboardInterrupt())


def test_a_bug_is_not_hidden() -> None:
    """What nobody foresaw keeps its traceback."""
    with pytest.raises(ZeroDivisionError):
        _failing(Context(), error=ZeroDivisionError())
