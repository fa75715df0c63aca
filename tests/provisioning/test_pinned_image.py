"""Images by names that always mean the same."""

from __future__ import annotations

import pytest

from provisioning.errors import HostError
from provisioning.facts.images import Image
from provisioning.pinned_image import pinned
from tests.provisioning.fakes import FakeHost

HOST = FakeHost(
    Images=(
        Image("r.io/a", "1", "sha256:aa", "sha256:01"),
        Image("made/here", "latest", "", "sha256:02"),
    )
)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("r.io/a:1", "r.io/a@sha256:aa"),
        ("r.io/a@sha256:aa", "r.io/a@sha256:aa"),
        ("made/here", "sha256:02"),
    ],
)
def test_it_is_named_by_what_its_registry_calls_it(written: str, expected: str) -> None:
    """By its own id where no registry knows it."""
    assert expected == pinned(HOST, written)


def test_one_that_is_not_there_is_told() -> None:
    """By its name, with what brings it."""
    with pytest.raises(HostError, match=r"The image r\.io/b is not on the host") as caught:
        pinned(HOST, "r.io/b")
    assert "fab provision" in caught.value.advice
