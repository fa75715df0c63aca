"""Simulators over their sockets, served by this very process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.bench_agent.simulator.served import Served


@pytest.fixture
def served() -> Iterator[Served]:
    """A simulator of one request at a time and a context of 30 tokens."""
    one = Served(max_num_seqs=1, max_model_len=30)
    yield one
    one.close()


@pytest.fixture
def locked() -> Iterator[Served]:
    """A simulator with a key."""
    one = Served(api_key="sesame")
    yield one
    one.close()
