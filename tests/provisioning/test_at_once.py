"""Waits beside each other: all come to something, or the first that fails ends them."""

from __future__ import annotations

import threading

import pytest

from provisioning.at_once import OverError, all_or_none


def until_over(over: threading.Event) -> str:
    """Wait for what never comes."""
    assert over.wait(10)
    raise OverError


def failing(over: threading.Event) -> str:
    del over
    raise LookupError("this one")


def test_what_all_come_to_is_in_their_order() -> None:
    """Whoever is done first."""
    second = threading.Event()

    def slow(over: threading.Event) -> int:
        del over
        assert second.wait(10)
        return 1

    def quick(over: threading.Event) -> int:
        del over
        second.set()
        return 2

    assert (1, 2) == all_or_none([slow, quick])


def test_the_first_that_fails_ends_the_others() -> None:
    """Its own error is raised, and not that the others were ended."""
    with pytest.raises(LookupError, match="this one"):
        all_or_none([until_over, failing, until_over])
