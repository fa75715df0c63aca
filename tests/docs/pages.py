"""The documentation, as its tests read it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from tests.architecture.sources import CHECKOUT

README = CHECKOUT / "README.md"
PAGES = [*sorted(CHECKOUT.glob("*.md")), *sorted((CHECKOUT / "docs").rglob("*.md"))]
_FENCE = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`((?:fab|pulumi|make) [^`\n]+)`")


def shell_blocks(page: Path) -> list[str]:
    """The fenced shell blocks of a page, in order."""
    return _FENCE.findall(page.read_text())


def commands(page: Path) -> Iterator[list[str]]:
    """Every command of fab, pulumi or make that a page shows, as its words."""
    text = page.read_text()
    indented = re.findall(r"^ {4}(\S.*)$", text, re.MULTILINE)
    lines = [*indented, *"".join(shell_blocks(page)).splitlines(), *_INLINE.findall(text)]
    for line in lines:
        for part in re.split(r"\s&&\s|;\s", line):
            if part.split(" ")[0] in ("fab", "pulumi", "make"):
                yield shlex.split(part, comments=True)
