"""The agent's archive, and what is asked of it."""

from __future__ import annotations

import importlib.util
import io
import subprocess
import sys
import zipfile
from pathlib import Path

from provisioning import agent, agent_main
from provisioning.archive import pack
from tests.architecture.sources import modules, name

LIMIT_BYTES = 96 * 1024


def test_the_archive_is_the_same_whenever_it_is_built() -> None:
    """Two builds of the same sources are byte for byte the same."""
    agent.build.cache_clear()
    first = agent.build()
    agent.build.cache_clear()

    assert first == agent.build()


def test_the_archive_does_not_depend_on_the_order_of_its_files() -> None:
    """Names are sorted and dates fixed."""
    assert pack({"a.py": b"1", "b.py": b"2"}) == pack({"b.py": b"2", "a.py": b"1"})


def test_the_archive_is_named_by_its_hash() -> None:
    """Another content gets another name."""
    archive = agent.build()

    assert f"bench-agent-{archive.sha256[:12]}.pyz" == archive.name


def test_the_archive_is_small_and_holds_the_agent_only() -> None:
    """It is shipped to every host: nothing but the package, below 96 KiB."""
    archive = agent.build()
    with zipfile.ZipFile(io.BytesIO(archive.data)) as opened:
        members = opened.namelist()
        names = agent_main.split(opened.read(agent_main.MEMBER))

    assert ["__main__.py", agent_main.MEMBER] == members
    assert [name(path) for path in modules("bench_agent")] == list(names)
    assert len(archive.data) <= LIMIT_BYTES


def test_the_archive_runs_isolated(tmp_path: Path) -> None:
    """It starts with nothing but the standard library."""
    path = tmp_path / agent.build().name
    path.write_bytes(agent.build().data)

    done = subprocess.run(
        [sys.executable, "-I", "-S", path, "version"], capture_output=True, text=True, check=False
    )

    assert (0, True) == (done.returncode, '"protocol": 1' in done.stdout)


def test_a_traceback_of_the_archive_shows_the_line(tmp_path: Path) -> None:
    """Its number is that of the checkout, and its text is there."""
    source = b'"""Doc."""\n\n\ndef main():  # why\n    """Doc."""\n    raise ValueError("here")\n'
    show = b"""
from traceback import print_exc
from bench_agent import inner
def main():
    try:
        inner.main()
    except ValueError:
        print_exc()
"""
    files = {"bench_agent/__init__.py": b"", "bench_agent/inner.py": source}
    path = tmp_path / "a.pyz"
    path.write_bytes(pack(files | {"bench_agent/cli.py": show}))

    done = subprocess.run(
        [sys.executable, "-I", "-S", path], capture_output=True, text=True, check=True
    )

    assert f'File "{path}/bench_agent/inner.py", line 6, in main' in done.stderr
    assert '    raise ValueError("here")' in done.stderr


def test_a_module_that_is_not_there_is_missing_as_ever() -> None:
    """The agent looks for workloads by name, and tells a missing one by this."""
    found = agent_main.Sources("/a.pyz", {"p/__init__.py": "", "p/m.py": "x = 1"})

    assert None is found.find_spec("p.n")
    specs = [spec for name in ("p", "p.m") if (spec := found.find_spec(name))]
    assert [("/a.pyz/p/__init__.py", ["/a.pyz/p"]), ("/a.pyz/p/m.py", None)] == [
        (spec.origin, spec.submodule_search_locations) for spec in specs
    ]


def test_a_module_is_run_by_itself() -> None:
    """Its own text, its own place, and none of the loader's future imports."""
    text = "def f(a: int): ...\nkind = type(f.__annotations__['a'])\n"
    found = agent_main.Sources("/a.pyz", {"planted.py": text})
    spec = found.find_spec("planted")
    assert spec is not None

    module = importlib.util.module_from_spec(spec)
    found.exec_module(module)

    assert (type, "/a.pyz/planted.py") == (module.kind, module.__file__)
    assert text == found.get_source("planted")
