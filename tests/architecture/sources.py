"""The files of this checkout, as the architecture tests read them."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
PACKAGES = ("bench_agent", "fabfile", "provisioning", "reporting", "stacks", "tools")


def modules(*folders: str) -> list[Path]:
    """Every Python file below *folders* of the checkout."""
    return sorted(path for folder in folders for path in (CHECKOUT / folder).rglob("*.py"))


def name(path: Path) -> str:
    """*path* as it is written in messages and ids."""
    return path.relative_to(CHECKOUT).as_posix()


def tree(path: Path) -> ast.Module:
    """The syntax tree of a Python file."""
    return ast.parse(path.read_text(), str(path))


def kept_files() -> Iterator[Path]:
    """What git keeps or would keep: tracked files, and new ones that are not ignored."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=CHECKOUT,
        check=True,
        capture_output=True,
        text=True,
    )
    paths = (CHECKOUT / line for line in listed.stdout.split("\0") if line)
    return (path for path in paths if path.is_file())
