"""Names of what a stack makes: the same ones each time, on any controller."""

from __future__ import annotations

import hashlib
import re

_LONGEST = 40


def resource_name(project: str, stack: str, owner: str) -> str:
    """``dyno-<stack>-<6 hex>``: lower case, letters, digits and dashes, at most 52 characters."""
    digest = hashlib.sha256(f"{project}\0{stack}\0{owner}".encode()).hexdigest()
    return f"dyno-{label(stack)}-{digest[:6]}"


def label(text: str) -> str:
    """*text* as the strictest cloud takes a label: ``[a-z0-9-]``, at most 40 characters."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:_LONGEST].strip("-") or "x"
