"""A Debian package, and how it is packed."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Deb:
    """A package: `files` maps paths on the host to files here or to text, `links` to their ends."""

    name: str
    version: str
    depends: str = ""
    files: dict[str, Path | str] = field(default_factory=dict)
    after_install: str = ""
    before_removal: str = ""
    fields: dict[str, str] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)


def write(deb: Deb, folder: Path) -> Path:
    """Pack *deb* into *folder*."""
    path = folder / f"{deb.name}_{deb.version.partition(':')[2] or deb.version}_amd64.deb"
    tree = folder / "tree"
    shutil.rmtree(tree, ignore_errors=True)
    (tree / "DEBIAN").mkdir(parents=True)
    for place, content in deb.files.items():
        _put(tree / place.lstrip("/"), content)
    for place, end in deb.links.items():
        (tree / place.lstrip("/")).parent.mkdir(parents=True, exist_ok=True)
        (tree / place.lstrip("/")).symlink_to(end)
    _put(tree / "DEBIAN" / "control", _control(deb))
    settings = [f"{place}\n" for place in deb.files if place.startswith("/etc/")]
    _put(tree / "DEBIAN" / "conffiles", "".join(settings))
    for name, text in (("postinst", deb.after_install), ("prerm", deb.before_removal)):
        if text:
            _put(tree / "DEBIAN" / name, text)
            (tree / "DEBIAN" / name).chmod(0o755)
    argv = ["dpkg-deb", "--root-owner-group", "-Znone", "-b", str(tree), str(path)]
    subprocess.run(argv, check=True, capture_output=True)
    shutil.rmtree(tree)
    return path


def _put(target: Path, content: Path | str) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, str):
        target.write_text(content)
        return
    shutil.copyfile(content, target)
    program = {"bin", "sbin", "cli-plugins"} & {target.parent.name}
    target.chmod(0o755 if program else 0o644)


def _control(deb: Deb) -> str:
    fields = {"Package": deb.name, "Version": deb.version, "Architecture": "amd64"}
    fields |= {"Maintainer": "The lab <lab@localhost>", "Section": "utils", "Priority": "optional"}
    fields |= {"Depends": deb.depends} if deb.depends else {}
    fields |= deb.fields | {"Description": f"{deb.name}, of the lab's own archive"}
    return "".join(f"{name}: {value}\n" for name, value in fields.items())
