"""Limits, however they are written."""

from __future__ import annotations

import pytest

from provisioning.facts.limits import number


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1024", 1024),
        ("18446744073709551615", 2**64 - 1),
        ("1M", 1 << 20),
        ("2T", 2 << 40),
        ("0", 0),
        ("unlimited", None),
        ("infinity", None),
        ("-1", None),
    ],
)
def test_a_limit_is_read_as_kernel_shell_and_systemd_write_it(text: str, value: int | None) -> None:
    """Units are powers of 1024."""
    assert value == number(text)


@pytest.mark.parametrize("text", ["", "much", "1.5G", "10%", "1m", "-2"])
def test_what_is_no_limit_is_named(text: str) -> None:
    """The error shows it."""
    with pytest.raises(ValueError, match=f"{text!r} is no limit"):
        number(text)
