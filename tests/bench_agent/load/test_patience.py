"""Tests of what a kernel says of its acknowledgements."""

from __future__ import annotations

import struct
from types import SimpleNamespace
from typing import Any

import pytest

from bench_agent.load.patience import acknowledges_early


def link(least: int, info: bytes) -> Any:
    """All of a link that is asked for: its shortest event, and what the kernel tells of it."""
    return SimpleNamespace(least=least, sock=SimpleNamespace(getsockopt=lambda *_: info))


@pytest.mark.parametrize(
    ("least", "full", "early"), [(100, 536, True), (76, 536, False), (200, 65483, False)]
)
def test_small_events_are_acknowledged_early_when_seven_fill_a_segment(
    least: int, full: int, early: bool
) -> None:
    """As large as the kernel takes a full one to be; else a sender might wait for our read."""
    assert early is acknowledges_early(link(least, bytes(20) + struct.pack("I", full)))


def test_a_kernel_that_does_not_say_is_not_trusted() -> None:
    """It gave less than was asked for."""
    assert not acknowledges_early(link(500, bytes(8)))
