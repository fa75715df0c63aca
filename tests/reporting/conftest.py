"""Fresh copies of the golden result directories."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.data import make_results


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    """The run of two points."""
    return make_results.write_whole(tmp_path / "results")


@pytest.fixture
def failed(tmp_path: Path) -> Path:
    """The launch that failed."""
    return make_results.write_failed(tmp_path / "results")
