from __future__ import annotations

import datetime as dt

import pytest

from stacks import lease

NOW = dt.datetime(2026, 11, 21, 12, tzinfo=dt.timezone.utc)
HELD = {"ttl_s": 3600.0, "created_at": "2026-11-21T11:30:00Z", "expires_at": "2026-11-21T12:30:00Z"}


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "_now", lambda: NOW)


def test_both_times_are_fixed_at_creation() -> None:
    """RFC 3339, UTC, the time to live apart."""
    made = lease.LeaseProvider().create({"ttl_s": 3600})

    assert made.outs == {
        "ttl_s": 3600,
        "created_at": "2026-11-21T12:00:00Z",
        "expires_at": "2026-11-21T13:00:00Z",
    }


def test_without_a_time_to_live_nothing_expires() -> None:
    """A host of one's own has no end."""
    made = lease.LeaseProvider().create({"ttl_s": 0})

    assert made.outs is not None
    assert "" == made.outs["expires_at"]


def test_a_lease_that_holds_is_left_alone() -> None:
    """A later `up` moves nothing."""
    assert False is lease.LeaseProvider().diff("id", HELD, {"ttl_s": 3600.0}).changes


def test_a_new_ttl_moves_nothing_and_says_so(capfd: pytest.CaptureFixture[str]) -> None:
    """It counts from the next lease."""
    result = lease.LeaseProvider().diff("id", HELD, {"ttl_s": 7200.0})

    assert False is result.changes
    assert "stays as it is, until 2026-11-21T12:30:00Z" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("held", "ttl_s"),
    [
        ({**HELD, "expires_at": "2026-11-21T12:00:00Z"}, 3600),  # to the second
        ({**HELD, "ttl_s": 0.0, "expires_at": ""}, 3600),
        (HELD, 0),
    ],
)
def test_an_expired_lease_is_replaced(held: dict[str, object], ttl_s: int) -> None:
    """So is one that has to get, or lose, its end; the old one goes first."""
    result = lease.LeaseProvider().diff("id", held, {"ttl_s": float(ttl_s)})

    assert (["expires_at"], True) == (result.replaces, result.delete_before_replace)
