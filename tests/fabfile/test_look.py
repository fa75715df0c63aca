"""What `fab status` says of a host that somebody uses."""

from __future__ import annotations

from fabfile import look

LOCK = {"who": "ann@desk", "since": "2026-01-01T10:00:00+00:00", "run_id": "R"}


def test_a_lock_without_a_run_tells_how_to_free_it() -> None:
    """Its run is over."""
    line = look._lock_line(LOCK, "g4")
    assert "held by ann@desk since 2026-01-01T10:00:00+00:00" in line
    assert "`fab attach --stack g4`" in line


def test_a_host_that_is_being_prepared_is_in_use() -> None:
    """There is no run to attach to."""
    line = look._lock_line(LOCK | {"lease": True}, "g4")
    assert "in use by ann@desk since 2026-01-01T10:00:00+00:00 (R)" == line


def test_a_host_that_serves_tells_how_to_end_it() -> None:
    """It is no run that could be attached to."""
    line = look._lock_line(LOCK, "g4", "R")
    assert "serves R by ann@desk" in line
    assert "`fab stop --stack g4` ends it" in line
