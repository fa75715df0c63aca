"""What every test starts from: the checkout's own programs first, nobody's own Pulumi."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest_plugins = ["tests.lab.fixtures"]
CHECKOUT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session", autouse=True)
def no_pulumi_of_ones_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Pulumi's home is a temporary one; logins, backends and passphrases of the person are gone."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("PULUMI_")]:
            patch.delenv(name)
        patch.setenv("PULUMI_HOME", str(tmp_path_factory.mktemp("pulumi-home")))
        patch.setenv("PULUMI_SKIP_UPDATE_CHECK", "true")
        folders = [str(CHECKOUT / ".venv" / "bin"), str(CHECKOUT / ".tools" / "bin")]
        patch.setenv("PATH", os.pathsep.join([*folders, os.environ["PATH"]]))
        yield


@pytest.fixture(autouse=True)
def umask_as_it_was() -> Iterator[None]:
    """A program that sets its own, run within a test, does not set that of all tests to come."""
    mask = os.umask(0o022)
    os.umask(mask)
    yield
    found = os.umask(mask)
    assert mask == found, "the test has left another umask"
