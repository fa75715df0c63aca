"""What can go wrong when a result directory is read."""

from __future__ import annotations


class ReportError(Exception):
    """A result directory cannot be reported on: `what` happened, and what to do (`advice`)."""

    def __init__(self, what: str, advice: str) -> None:
        super().__init__(what, advice)
        self.what = what
        self.advice = advice

    def __str__(self) -> str:
        return f"{self.what} {self.advice}"
