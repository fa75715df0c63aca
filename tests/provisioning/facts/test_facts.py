"""Every fact: recorded output and its answer as data, in a folder with the module's name."""

from __future__ import annotations

import importlib
import json
import pkgutil
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

import pytest

from provisioning import facts
from provisioning.command import Fact

HERE = Path(__file__).parent
MODULES = sorted(module.name for module in pkgutil.iter_modules(facts.__path__))
CASES = sorted(HERE.glob("*/*.json"))


def fact_of(module: str) -> type[Fact[Any]]:
    """The one fact that a module defines."""
    found = importlib.import_module(f"provisioning.facts.{module}")
    (fact,) = (
        value
        for value in vars(found).values()
        if isinstance(value, type)
        and issubclass(value, Fact)
        and value.__module__ == found.__name__
    )
    return fact


def plain(value: Any) -> Any:
    """An answer as JSON values."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, frozenset):
        return sorted(plain(item) for item in value)
    return [plain(item) for item in value] if isinstance(value, tuple) else value


@pytest.mark.parametrize("module", MODULES)
def test_every_fact_has_recorded_output(module: str) -> None:
    """A fact without a case is not tested: its folder must hold one with output."""
    cases = [json.loads(path.read_text()) for path in (HERE / module).glob("*.json")]
    assert [] != [case for case in cases if case["output"]]


@pytest.mark.parametrize("path", CASES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_recorded_output_is_understood(path: Path) -> None:
    """Parsing what a host printed gives the answer that stands beside it."""
    case = json.loads(path.read_text())
    fact = fact_of(path.parent.name)(**case.get("args", {}))
    assert case["value"] == plain(fact.parse(case["output"]))


def test_no_case_is_forgotten() -> None:
    """Each folder of cases belongs to a fact."""
    assert [] == sorted({path.parent.name for path in CASES} - set(MODULES))
