from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stacks import duration


@given(st.integers(0, 13), st.integers(0, 23), st.integers(1, 59))
def test_days_hours_and_minutes_add_up(days: int, hours: int, minutes: int) -> None:
    """Each unit counts for what it is."""
    text = f"{days}d{hours}h{minutes}m"

    assert days * 86400 + hours * 3600 + minutes * 60 == duration.seconds(text)


@pytest.mark.parametrize(("text", "seconds"), [("4h", 14400), ("90m", 5400), ("90s", 90)])
def test_one_unit_is_enough(text: str, seconds: int) -> None:
    """People write the shortest form."""
    assert seconds == duration.seconds(text)


@pytest.mark.parametrize("text", ["", "4", "h", "4 h", "m90", "-4h", "4h4d", "4.5h", 7, None, True])
def test_other_forms_are_refused(text: object) -> None:
    """A bare number could be anything."""
    with pytest.raises(ValueError, match="should be a duration such as 4h"):
        duration.seconds(text)


@pytest.mark.parametrize("text", ["0m", "59s", "15d", "14d1s"])
def test_bounds_are_kept(text: str) -> None:
    """Too short is a slip, too long is a bill."""
    with pytest.raises(ValueError, match="should be between 1m and 14d"):
        duration.seconds(text)
