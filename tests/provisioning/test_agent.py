"""The agent's archive, and what is asked of it."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from pathlib import Path

from provisioning import agent

LIMIT_BYTES = 96 * 1024


def test_the_archive_is_the_same_whenever_it_is_built() -> None:
    """Two builds of the same sources are byte for byte the same."""
    agent.build.cache_clear()
    first = agent.build()
    agent.build.cache_clear()

    assert first == agent.build()


def test_the_archive_does_not_depend_on_the_order_of_its_files() -> None:
    """Names are sorted and dates fixed."""
    assert agent.pack({"a": b"1", "b": b"2"}) == agent.pack({"b": b"2", "a": b"1"})


def test_the_archive_is_named_by_its_hash() -> None:
    """Another content gets another name."""
    archive = agent.build()

    assert f"bench-agent-{archive.sha256[:12]}.pyz" == archive.name


def test_the_archive_is_small_and_holds_the_agent_only() -> None:
    """It is shipped to every host: nothing but the package, below 96 KiB."""
    archive = agent.build()
    with zipfile.ZipFile(io.BytesIO(archive.data)) as opened:
        names = opened.namelist()

    assert {"__main__.py", "bench_agent"} == {name.split("/")[0] for name in names}
    assert len(archive.data) <= LIMIT_BYTES


def test_the_archive_runs_isolated(tmp_path: Path) -> None:
    """It starts with nothing but the standard library."""
    path = tmp_path / agent.build().name
    path.write_bytes(agent.build().data)

    done = subprocess.run(
        [sys.executable, "-I", "-S", path, "version"], capture_output=True, text=True, check=False
    )

    assert (0, True) == (done.returncode, '"protocol": 1' in done.stdout)
