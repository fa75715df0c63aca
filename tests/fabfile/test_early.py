"""What is begun before anything else is loaded."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
from pathlib import Path

import pytest

import fabfile
from fabfile import early
from provisioning import stack as stacks

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        ("provision --stack local", ["local"]),
        ("bench --recipe x --stack=g4", ["g4"]),
        ("provision", []),
        ("provision --stack", []),
        ("provision --stack local --help", []),
        ("status --stack local", []),
        ("--list", []),
    ],
)
def test_pulumi_is_asked_as_soon_as_it_is_sure_to_be(
    monkeypatch: pytest.MonkeyPatch, words: str, asked: list[str]
) -> None:
    """For tasks that ask in any case, of a stack that is named."""
    found: list[str] = []
    monkeypatch.setattr(stacks, "ahead", found.append)
    early.begin(["/checkout/.venv/bin/fab", *words.split()])
    assert asked == found


def test_other_programs_begin_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test run, say, whose arguments happen to be the same."""
    monkeypatch.setattr(stacks, "ahead", lambda _: pytest.fail("asked"))
    early.begin(["pytest", "provision", "--stack", "local"])
    early.begin([])


@pytest.mark.parametrize(
    ("argv", "tasks"),
    [
        (["fab", "a", "--stack", "s"], ["a"]),
        (["fab", "--help", "b"], ["b"]),
        (["fab", "a", "b"], ["a", "b"]),
        (["fab", "--list"], ["a", "b"]),
        (["fab", "nope"], ["a", "b"]),
        (["pytest", "a"], ["a", "b"]),
    ],
)
def test_the_tasks_that_were_named_are_loaded(argv: list[str], tasks: list[str]) -> None:
    """All, where none is."""
    assert tasks == early.named(argv, ["a", "b"])


def test_loading_leaves_no_garbage_to_look_for() -> None:
    """What was loaded is not looked at again, and afterwards garbage is collected as before."""
    before = gc.get_freeze_count()
    with early.loading():
        assert not gc.isenabled()
    assert (True, True) == (gc.isenabled(), gc.get_freeze_count() > before)
    gc.unfreeze()


_LOADED = """
import sys
sys.argv = ["fab", "provision", "--help"]
import fabfile
print(sorted({name.partition(".")[0] for name in sys.modules} & {"rich", "pydantic", "asyncssh"}))
"""


@pytest.mark.integration
def test_a_task_loads_only_what_it_needs() -> None:
    """Help is printed without what does the work, and nothing of the work needs a terminal."""
    done = subprocess.run(
        [sys.executable, "-c", _LOADED], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    assert [] == json.loads(done.stdout)


def test_every_module_of_tasks_is_listed() -> None:
    """A task that is in no list is found by nobody."""
    declared = {
        name
        for path in Path(fabfile.__file__).parent.glob("*.py")
        for name in _declared(path.read_text())
    }
    assert declared == set(fabfile._TASKS)


def _declared(source: str) -> list[str]:
    """Functions below ``@task(``."""
    import ast

    return [
        node.name
        for node in ast.parse(source).body
        if isinstance(node, ast.FunctionDef)
        and any(
            isinstance(each, ast.Call)
            and isinstance(each.func, ast.Name)
            and each.func.id == "task"
            for each in node.decorator_list
        )
    ]
