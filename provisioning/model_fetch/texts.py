"""Small files, written in one step: whoever reads one sees the old text or the new one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def write_json(path: Path, data: Any, secret: str | None = None) -> None:
    """Write *data*, *secret* taken out."""
    text = json.dumps(data)
    write_text(path, text.replace(secret, "[REDACTED]") if secret else text)


def write_text(path: Path, text: str) -> None:
    """Write *text*."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.new")
    new.write_text(text)
    new.replace(path)
