"""Command lines for people: an option and its value at a time."""

from __future__ import annotations

from collections.abc import Iterable

#: A command in groups of words, each fit for a line of its own.
Words = tuple[tuple[str, ...], ...]


def grouped(words: Iterable[str]) -> Words:
    """Each option begins a group, and its values belong to it."""
    groups: list[list[str]] = []
    for word in words:
        if word.startswith("-") or not groups:
            groups.append([])
        groups[-1].append(word)
    return tuple(map(tuple, groups))
