"""The ``__main__.py`` of the agent's archive: imports from one member that holds all sources.

Packed together they take two thirds of what they take as files of a zip. Runs on Python >= 3.10
with the standard library, and imports nothing of ours but the agent.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib.machinery import ModuleSpec
from types import ModuleType

#: The member: for each file its path, a NUL, its text, a NUL.
MEMBER = "sources"


class Sources:
    """Finds and loads modules whose *files* (text by path) lie in *archive*."""

    def __init__(self, archive: str, files: Mapping[str, str]) -> None:
        self._archive = archive
        self._files = files

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """The module *name*, if it is one of these."""
        del path, target
        base = name.replace(".", "/")
        for file in (f"{base}/__init__.py", f"{base}.py"):
            if file in self._files:
                origin = f"{self._archive}/{file}"
                spec = ModuleSpec(name, self, origin=origin)  # type: ignore[arg-type] # by its methods
                spec.has_location = True  # it has a __file__
                if file.endswith("/__init__.py"):
                    spec.submodule_search_locations = [f"{self._archive}/{base}"]
                return spec
        return None

    def create_module(self, spec: ModuleSpec) -> None:
        """As usual."""

    def exec_module(self, module: ModuleType) -> None:
        """Run the module's source."""
        code = compile(self.get_source(module.__name__), str(module.__file__), "exec", 0, True)
        exec(code, module.__dict__)  # noqa: S102 - this is what a loader does

    def get_source(self, name: str) -> str:
        """The source of a module, for tracebacks."""
        base = name.replace(".", "/")
        return self._files.get(f"{base}.py") or self._files.get(f"{base}/__init__.py", "")


def joined(files: Mapping[str, str]) -> bytes:
    """The member that holds *files*, in order of their paths."""
    return "".join(f"{path}\0{text}\0" for path, text in sorted(files.items())).encode()


def split(member: bytes) -> dict[str, str]:
    """The files in a member."""
    parts = member.decode().split("\0")
    return dict(zip(parts[::2], parts[1::2], strict=False))


def main() -> None:
    """Run the agent of the archive that this is the main module of."""
    loader = globals()["__loader__"]
    files = split(loader.get_data(MEMBER))
    sys.meta_path.insert(0, Sources(loader.archive, files))
    from bench_agent.cli import main as run  # noqa: PLC0415 - not to be had any sooner

    run()


if __name__ == "__main__":
    main()
