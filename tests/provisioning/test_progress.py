"""Phases and their parts."""

from __future__ import annotations

from provisioning.progress import Phases


class Silent:
    """Nobody hears."""

    def phase(self, name: str) -> None: ...
    def note(self, text: str) -> None: ...
    def load(self, status: object) -> None: ...
    def done(self, name: str, seconds: float) -> None: ...


def test_parts_come_after_their_phase() -> None:
    """They overlap, and so they are not a part of any sum."""
    phases = Phases(Silent())
    with phases("provision"):
        phases.add("provision.docker", 1.5)
        phases.add("provision.docker", 1.0)
    assert ["provision", "provision.docker"] == list(phases.seconds)
    assert 2.5 == phases.seconds["provision.docker"]
