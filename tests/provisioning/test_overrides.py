"""``--set key.path=value``."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioning.errors import UsageError
from provisioning.overrides import parse, put

KEYS = st.text(st.characters(categories=["Ll"]), min_size=1, max_size=5)


def changed(data: dict[str, Any], text: str) -> dict[str, Any]:
    put(data, parse(text))
    return data


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.b=1", {"a": {"b": 1}, "l": [{"n": 1}, 2]}),
        ("l.0.n=7", {"a": {}, "l": [{"n": 7}, 2]}),
        ("l[0].n=7", {"a": {}, "l": [{"n": 7}, 2]}),
        ("l.1=x", {"a": {}, "l": [{"n": 1}, "x"]}),
        ("new.deep.key=true", {"a": {}, "l": [{"n": 1}, 2], "new": {"deep": {"key": True}}}),
        ("a=", {"a": None, "l": [{"n": 1}, 2]}),
        ("a.url=http://h/?x=1", {"a": {"url": "http://h/?x=1"}, "l": [{"n": 1}, 2]}),
    ],
)
def test_a_value_is_put_where_the_path_says(text: str, expected: dict[str, Any]) -> None:
    """Values are YAML; objects on the way are made; only the first = divides."""
    assert expected == changed({"a": {}, "l": [{"n": 1}, 2]}, text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a", "not of the form"),
        ("=1", "not of the form"),
        ("a..b=1", "not of the form"),
        ("a={", "no valid YAML"),
        ("l.2.n=1", r"--set l\.2\.n: l has 2 entries, there is none '2'\. Use 0 to 1\."),
        ("l.x=1", "there is none 'x'"),
        ("e.0=1", r"e has 0 entries.* Set the whole list\."),
        ("s.a.b=1", r"--set s\.a\.b: s is a plain value\."),
        ("s.a=1", "s is a plain value"),
    ],
)
def test_a_path_that_leads_nowhere_is_refused(text: str, message: str) -> None:
    """The message names the path as far as it leads."""
    with pytest.raises(UsageError, match=message):
        changed({"l": [{"n": 1}, 2], "e": [], "s": 3}, text)


@given(st.lists(KEYS, min_size=1, max_size=4), st.integers())
def test_what_is_put_is_found_again(keys: list[str], value: int) -> None:
    """Any path of names leads to the value that was put there."""
    data: Any = changed({}, f"{'.'.join(keys)}={value}")
    for key in keys:
        data = data[key]
    assert value == data
