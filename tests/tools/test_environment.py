"""uv and the Python environment, with stand-in programs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.tools.fakes import program
from tools.setup import environment
from tools.setup.steps import SetupError

#: A Python whose `-m venv` makes a Python like itself, and whose pip makes a uv.
PYTHON = """\
case "$*" in
  "-m venv --clear "*) mkdir -p "$4/bin"; cp "$0" "$4/bin/python";;
  "-m pip install "*) printf '#!/bin/sh\\necho uv 0.13.9\\n' > "${0%/*}/uv"; chmod +x "${0%/*}/uv";;
esac
"""
#: A uv that writes down what it was asked and where, and makes an environment of two packages.
UV = """\
[ "$1" != --version ] || { echo "uv $VERSION"; exit; }
echo "$* downloads=$UV_PYTHON_DOWNLOADS" >> asked
site="$UV_PROJECT_ENVIRONMENT/lib/python3.11/site-packages"
mkdir -p "$site/a-1.dist-info" "$site/b-1.dist-info"
"""


@pytest.fixture
def bin_on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, first on a PATH that holds no uv."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}/usr/bin{os.pathsep}/bin")
    return folder


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """An empty checkout."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    return folder


@pytest.fixture
def said() -> list[str]:
    """What a step says."""
    return []


def test_a_recent_uv_on_path_is_used(
    checkout: Path, bin_on_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is installed where uv is there."""
    monkeypatch.setenv("VERSION", "0.9.17")
    own = program(bin_on_path / "uv", UV)

    assert own == environment.uv(checkout, said.append)
    assert [f"0.9.17 at {own}"] == said


@pytest.mark.parametrize("version", ["0.9.16", "0.8.99", "garbage"])
def test_an_old_uv_is_passed_over(
    checkout: Path,
    bin_on_path: Path,
    said: list[str],
    monkeypatch: pytest.MonkeyPatch,
    version: str,
) -> None:
    """One that cannot read the lock gives way to the checkout's own, at the pinned version."""
    monkeypatch.setenv("VERSION", version)
    program(bin_on_path / "uv", UV)
    python = program(bin_on_path / "python-of-the-setup", PYTHON)
    monkeypatch.setattr(environment.sys, "executable", str(python))

    own = environment.uv(checkout, said.append)

    assert checkout / ".tools" / "uv" / "bin" / "uv" == own
    assert ["installing 0.13.9 into .tools/uv", "0.13.9 in .tools/uv"] == said
    assert own == environment.uv(checkout, said.append), "and is found there the next time"
    assert "0.13.9 in .tools/uv" == said[2]


def test_no_index_is_said(
    checkout: Path, bin_on_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where uv cannot be installed, the message says what is needed, with pip's own words."""
    python = program(bin_on_path / "python-of-the-setup", "echo no route to index >&2; exit 1")
    monkeypatch.setattr(environment.sys, "executable", str(python))

    with pytest.raises(SetupError, match=r"or put uv 0\.9\.17 or newer on PATH") as caught:
        environment.uv(checkout, said.append)

    assert "no route to index" == caught.value.log


def test_the_lock_is_synced(
    checkout: Path, bin_on_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first time with the Python of the set-up; no Python is ever downloaded."""
    monkeypatch.setattr(environment.sys, "executable", "/a/python3")
    uv = program(bin_on_path / "uv", UV)

    environment.sync(checkout, uv, said.append)
    program(checkout / ".venv" / "bin" / "python", "")
    environment.sync(checkout, uv, said.append)

    assert [
        "sync --frozen --python /a/python3 downloads=never",
        "sync --frozen downloads=never",
    ] == (checkout / "asked").read_text().splitlines()
    assert ["2 in .venv, as uv.lock names them"] * 2 == said[1:]


def test_a_failed_sync_is_said(checkout: Path, bin_on_path: Path, said: list[str]) -> None:
    """The last lines of uv itself come with the sentence."""
    uv = program(bin_on_path / "uv", "echo hash mismatch >&2; exit 2")

    with pytest.raises(SetupError, match=r"could not install the packages of uv\.lock") as caught:
        environment.sync(checkout, uv, said.append)

    assert "hash mismatch" == caught.value.log
