"""The wire format, as golden files: a change of any of them is a change of the contract."""

from __future__ import annotations

import dataclasses
import inspect
import json
from pathlib import Path
from typing import Any

import pytest

from bench_agent import protocol
from bench_agent.wire import WireError, decode, encode

GOLDEN = Path(__file__).parents[1] / "golden" / "protocol"
CLASSES = sorted(
    name
    for name, value in inspect.getmembers(protocol, inspect.isclass)
    if dataclasses.is_dataclass(value) and value.__module__.startswith(protocol.__name__)
)


def golden(name: str) -> Any:
    """The golden value of a class."""
    return json.loads((GOLDEN / f"{name}.json").read_text())


def test_each_class_has_a_golden_file_and_no_other_does() -> None:
    """A new dataclass is not done without one."""
    assert len(CLASSES) > 10
    assert sorted(path.stem for path in GOLDEN.glob("*.json")) == CLASSES


@pytest.mark.parametrize("name", CLASSES)
def test_a_golden_value_survives_the_way_there_and_back(name: str) -> None:
    """Decoded and encoded again, nothing has changed, and every field stands in the file."""
    cls = getattr(protocol, name)
    data = golden(name)
    decoded = decode(cls, data)

    assert data == encode(decoded)
    assert list(data) == [f.name for f in dataclasses.fields(cls)]


@pytest.mark.parametrize("name", CLASSES)
def test_an_unknown_key_is_named(name: str) -> None:
    """Two releases that differ find out at once."""
    with pytest.raises(WireError, match="surprise: unknown key"):
        decode(getattr(protocol, name), {**golden(name), "surprise": 1})


def test_a_missing_key_is_named_with_its_path() -> None:
    """Deep inside, too."""
    data = golden("RunSpec")
    del data["points"][0]["name"]

    with pytest.raises(WireError, match=r"points\[0\]\.name: missing"):
        decode(protocol.RunSpec, data)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("run_id", 5, "run_id: expected str, got int 5"),
        ("planned_s", "long", "planned_s: expected float, got str 'long'"),
        ("planned_s", True, "planned_s: expected float, got bool True"),
        ("num_warmups", True, "num_warmups: expected int, got bool True"),
        ("num_warmups", 1.5, "num_warmups: expected int, got float 1.5"),
        ("calibrate", 1, "calibrate: expected bool, got int 1"),
        ("points", {}, "points: expected an array, got dict {}"),
        ("target", None, "target: expected an object, got null"),
        ("context", [], r"context: expected an object, got list \[\]"),
    ],
)
def test_a_wrong_type_is_named(path: str, value: object, message: str) -> None:
    """With the path, what was expected, and what came."""
    with pytest.raises(WireError, match=message):
        decode(protocol.RunSpec, {**golden("RunSpec"), path: value})


def test_a_whole_number_is_a_float_where_one_is_due() -> None:
    """JSON does not tell them apart."""
    spec = decode(protocol.RunSpec, {**golden("RunSpec"), "planned_s": 60})

    assert (60.0, float) == (spec.planned_s, type(spec.planned_s))


def test_a_document_of_another_kind_is_refused() -> None:
    """An array is no spec."""
    with pytest.raises(WireError, match="document: expected an object"):
        decode(protocol.RunSpec, [])


def test_closed_and_active_states_are_apart() -> None:
    """A state is one or the other."""
    assert set() == set(protocol.ACTIVE_STATES) & {*protocol.CLOSED_STATES, protocol.DIED}


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("20261121T101500Z-local-simulator-0a1b", True),
        ("20261121T101500Z--0a1b", False),
        ("20261121T101500Z-x-0A1B", False),
        ("../20261121T101500Z-x-0a1b", False),
    ],
)
def test_run_ids(text: str, is_one: bool) -> None:
    """Start time, recipe, four hex digits: nothing that leads out of a folder."""
    assert is_one == bool(protocol.RUN_ID.fullmatch(text))
