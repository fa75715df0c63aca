"""A tree of 30 small files, always the same; what no section `host` asks for."""

from __future__ import annotations

from pathlib import Path

#: Where it is put on a host.
PLACE = "/srv/comparison-tree"
FOLDERS = ("a", "b", "c")


def files() -> dict[str, str]:
    """Content by path below the tree."""
    names = [f"{folder}/{number:02d}.conf" for folder in FOLDERS for number in range(10)]
    return {name: f"# {name}\n" + "value = 1\n" * 40 for name in names}


def write(folder: Path) -> Path:
    """Make the tree in *folder*, for tools that copy one; its path."""
    for name, content in files().items():
        path = folder / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return folder / "tree"
