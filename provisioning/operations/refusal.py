"""How a command on the host says in one sentence why it did nothing."""

from __future__ import annotations

_MARK = "refused: "


def explained(said: str) -> tuple[str, str] | None:
    """What happened and what to do, of a line ``refused: WHAT | ADVICE``; None without one."""
    for line in said.splitlines():
        if line.startswith(_MARK):
            what, _, advice = line.removeprefix(_MARK).partition(" | ")
            return what, advice
    return None
