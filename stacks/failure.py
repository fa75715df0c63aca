"""Foreseeable trouble in a stack, said in plain words."""

from __future__ import annotations


class Failure(Exception):  # noqa: N818 - an outcome that is told, not a bug
    """One sentence on what happened, one on what to do; shown without a traceback."""
