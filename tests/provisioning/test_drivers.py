"""Which driver is old enough to be refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from provisioning import drivers
from tests.provisioning.gpu_hosts import RTX, RTX_2


@pytest.mark.parametrize(
    ("capability", "mig", "at_least", "expected"),
    [
        ("12.0", False, None, "570.26"),
        ("12.0", True, None, "575.51.03"),
        ("12.0", True, "580", "580"),
        ("12.1", False, None, "580.65.06"),
        ("10.0", True, None, "570.133.20"),
        ("9.0", False, None, "525.60.13"),
        ("8.9", False, "535.104", "535.104"),
        ("8.9", False, "470", "525.60.13"),
        (None, True, None, "525.60.13"),
    ],
)
def test_the_floor_is_that_of_the_generation(
    capability: str | None, mig: bool, at_least: str | None, expected: str
) -> None:
    """MIG and a recipe raise it; a recipe never lowers it."""
    assert expected == drivers.floor(capability, mig=mig, at_least=at_least)


def test_several_gpus_need_what_the_newest_does() -> None:
    """Without a GPU that is seen, the lowest floor."""
    gpus = (RTX, replace(RTX_2, compute_capability="12.1"))
    assert "580.65.06" == drivers.needed(gpus, mig=False, at_least=None)
    gpus = (RTX, replace(RTX_2, compute_capability="10.0"))
    assert "570.133.20" == drivers.needed(gpus, mig=False, at_least=None)
    assert "525.60.13" == drivers.needed((), mig=False, at_least=None)


@pytest.mark.parametrize("package", ["580.95.05-1", "1:580.95.05-0ubuntu0.24.04.2", "580.95.05"])
def test_a_package_names_its_driver(package: str) -> None:
    """Without epoch and revision."""
    assert "580.95.05" == drivers.of_package(package)


@pytest.mark.parametrize(
    ("version", "than", "expected"),
    [
        ("570.133.20", "570.26", False),  # as numbers, not as text
        ("570.26", "570.26", False),
        ("570.9", "570.26", True),
        ("99.1", "525.60.13", True),
        ("580", "580.65.06", True),
    ],
)
def test_versions_are_compared_by_number(version: str, than: str, expected: bool) -> None:
    """Part by part."""
    assert expected == drivers.older(version, than)
