"""What every test of this project keeps to."""

from __future__ import annotations

import ast

from tests.architecture.sources import modules, name, tree

TESTS = modules("tests")


def is_sleep(node: ast.AST) -> bool:
    """Whether *node* is ``time.sleep(…)`` or ``sleep(…)``."""
    match node:
        case ast.Call(func=ast.Attribute(value=ast.Name(id="time"), attr="sleep")):
            return True
        case ast.Call(func=ast.Name(id="sleep")):
            return True
    return False


def sleeps_outside_polling(module: ast.Module) -> list[int]:
    """The lines on which something sleeps that is not inside of a ``while`` loop."""
    polled = {
        inner
        for loop in ast.walk(module)
        if isinstance(loop, ast.While)
        for inner in ast.walk(loop)
        if is_sleep(inner)
    }
    return [n.lineno for n in ast.walk(module) if is_sleep(n) and n not in polled]  # type: ignore[attr-defined]


def test_nobody_sleeps_instead_of_looking() -> None:
    """`time.sleep` stands in polling loops only: a pause is no synchronisation."""
    bare = [f"{name(path)}:{line}" for path in TESTS for line in sleeps_outside_polling(tree(path))]

    assert len(TESTS) > 10
    assert bare == []


def test_a_bare_sleep_is_seen() -> None:
    """The test above can fail, and lets a polling loop pass."""
    source = (
        "import time\ntime.sleep(1)\nwhile busy():\n    time.sleep(0.1)\nfor _ in x: sleep(1)\n"
    )

    assert sleeps_outside_polling(ast.parse(source)) == [2, 5]
