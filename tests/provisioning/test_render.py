"""Templates."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import jinja2
import pytest

from provisioning import render as rendering
from provisioning.command import Secret


@pytest.fixture
def template(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    def write(text: str) -> str:
        (tmp_path / "t.j2").write_text(text)
        return "t.j2"

    loader = jinja2.FileSystemLoader(tmp_path)
    monkeypatch.setattr(rendering, "_environment", rendering._environment.overlay(loader=loader))
    return write


def test_values_are_quoted_for_a_shell(template: Callable[[str], str]) -> None:
    """One value, a number, and many."""
    text = rendering.render(
        template("{{ a | sh }} {{ n | sh }} {{ b | sh }}\n"), a="x y", n=2, b=["p", "q r"]
    )
    assert "'x y' 2 p 'q r'\n" == text


def test_a_value_that_is_not_given_is_an_error(template: Callable[[str], str]) -> None:
    """No template is filled with holes."""
    with pytest.raises(jinja2.UndefinedError, match="nothing"):
        rendering.render(template("{{ nothing }}"))


def test_a_secret_does_not_stand_in_a_script(template: Callable[[str], str]) -> None:
    """Scripts are no place for secrets."""
    with pytest.raises(TypeError, match="Secret"):
        rendering.render(template("{{ s | sh }}"), s=Secret("x"))


def test_templates_are_templates_only() -> None:
    """The folder holds .j2 files, and at least one."""
    assert {".j2"} == {path.suffix for path in rendering.TEMPLATES.iterdir()}
