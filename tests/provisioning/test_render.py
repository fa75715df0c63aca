"""Templates."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import jinja2
import pytest
import yaml

from provisioning import render as rendering
from provisioning.command import Secret
from provisioning.errors import UsageError


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


def test_values_are_quoted_for_compose(template: Callable[[str], str]) -> None:
    """A YAML text on one line, whatever it holds; Compose finds no variable in it."""
    odd = "a: 'b' \"c\" # - $x ${y} \n\t{{ z }} é 😀 \x85\u2028 " + 40 * "long "
    text = rendering.render(template("v: {{ a | compose }}\n"), a=odd)
    assert (1, odd.replace("$", "$$")) == (text.count("\n"), yaml.safe_load(text)["v"])


@pytest.mark.parametrize("value", ["no", "1", "1e3", "null", "~", "", "2026-01-01", "<<", "="])
def test_a_text_stays_a_text_in_yaml(template: Callable[[str], str], value: str) -> None:
    """And is no number, truth, date or nothing."""
    text = rendering.render(template("v: {{ a | compose }}\n"), a=value)
    assert {"v": value} == yaml.safe_load(text)


@pytest.mark.parametrize("quoting", ["sh", "compose"])
def test_a_nul_character_is_refused(template: Callable[[str], str], quoting: str) -> None:
    """No command and no file of environment can hold it."""
    with pytest.raises(UsageError, match="NUL"):
        rendering.render(template(f"{{{{ a | {quoting} }}}}"), a="x\0y")


def test_a_value_that_is_not_given_is_an_error(template: Callable[[str], str]) -> None:
    """No template is filled with holes."""
    with pytest.raises(jinja2.UndefinedError, match="nothing"):
        rendering.render(template("{{ nothing }}"))


@pytest.mark.parametrize("quoting", ["sh", "compose"])
def test_a_secret_does_not_stand_in_a_script(template: Callable[[str], str], quoting: str) -> None:
    """Scripts are no place for secrets, and files of Compose neither."""
    with pytest.raises(TypeError, match="Secret"):
        rendering.render(template(f"{{{{ s | {quoting} }}}}"), s=Secret("x"))


def test_templates_are_templates_only() -> None:
    """The folder holds .j2 files, and at least one."""
    assert {".j2"} == {path.suffix for path in rendering.TEMPLATES.iterdir()}
