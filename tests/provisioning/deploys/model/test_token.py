"""The hub's token is seen by the hub, and nowhere else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from provisioning.errors import CommandError
from provisioning.needs import Needs
from tests.provisioning.deploys.model.rig import (
    MARKER,
    apply,
    hub_model,
    pid,
    refusal,
    started,
    until,
)
from tests.provisioning.hub import Hub

pytestmark = pytest.mark.integration


def places_of(marker: str, folder: Path) -> list[str]:
    """Where *marker* is to be seen on the host: files, arguments and environments of others."""
    needle = marker.encode()
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    tables = [*Path("/proc").glob("[0-9]*/cmdline"), *Path("/proc").glob("[0-9]*/environ")]
    found = []
    for path in files + [path for path in tables if path.parent.name != str(os.getpid())]:
        with suppress(OSError):
            if needle in path.read_bytes():
                found.append(str(path))
    return found


@pytest.fixture
def ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """A token, in the controller's environment."""
    monkeypatch.setenv("HF_TOKEN", MARKER)


def test_a_planted_marker_is_found(tmp_path: Path) -> None:
    """The tests below can fail: in a file, in arguments, in an environment."""
    (tmp_path / "planted").write_text(f"x{MARKER}x")
    read = [sys.executable, "-c", "input()"]
    argued = subprocess.Popen([*read, MARKER], stdin=subprocess.PIPE)
    given = subprocess.Popen(read, stdin=subprocess.PIPE, env={"T": MARKER})
    try:
        expected = {str(tmp_path / "planted"), f"/proc/{argued.pid}/cmdline"}
        until(lambda: expected | {f"/proc/{given.pid}/environ"} <= set(places_of(MARKER, tmp_path)))
    finally:
        for process in (argued, given):
            process.communicate(b"\n")


def test_the_token_is_nowhere_to_be_seen(
    wanted: Callable[..., Needs], hub: Hub, tmp_path: Path, ours: None
) -> None:
    """While the download goes on, and after; yet the hub was shown it."""
    hub.rate = 12e6
    needs, seen = wanted("o/gated"), list[list[str]]()
    apply(needs, host=None, told=Watching(lambda: seen.append(places_of(MARKER, tmp_path))))

    assert len(seen) > 3
    assert [] == [place for places in seen for place in places]
    assert [] == places_of(MARKER, tmp_path)
    assert {MARKER} == {each.token for each in hub.asked("/o/gated")}


class Watching(list[str]):
    """Looks at every line that is told."""

    def __init__(self, look: Callable[[], None]) -> None:
        super().__init__()
        self._look = look

    def append(self, line: str) -> None:
        super().append(line)
        self._look()


def test_no_token_is_left_by_a_killed_download(
    wanted: Callable[..., Needs], hub: Hub, tmp_path: Path, ours: None
) -> None:
    """Killed with signal 9, nothing can be tidied up any more."""
    hub.rate = 5e6
    needs = wanted("o/gated")
    started(needs)
    until(lambda: bool(hub.asked("/cdn/")))
    os.killpg(pid(needs), signal.SIGKILL)
    assert [] == places_of(MARKER, tmp_path)


def test_no_token_is_left_where_nothing_could_be_started(
    wanted: Callable[..., Needs], tmp_path: Path, ours: None
) -> None:
    """The downloader does not even come to read it."""
    needs = wanted("o/gated")
    python = Path(hub_model(needs).tool, "bin", "python")
    python.write_text('#!/bin/sh\n[ "$1" = -c ] || exit 1\n')
    with pytest.raises(CommandError):
        apply(needs)
    assert [] == places_of(MARKER, tmp_path)


def test_a_token_that_was_refused_is_not_kept(
    wanted: Callable[..., Needs], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither in the log nor in the result."""
    monkeypatch.setenv("HF_TOKEN", refused := f"{MARKER}x")
    assert "does not accept your HF_TOKEN" in refusal(wanted())
    assert [] == places_of(refused, tmp_path)
