"""Waits beside each other, of which the first that fails ends all."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


class OverError(Exception):
    """A wait was ended from outside."""


def all_or_none(waits: Sequence[Callable[[threading.Event], T]]) -> tuple[T, ...]:
    """What all *waits* come to, each in a thread; each raises `OverError` once the event is set.

    Raises:
        BaseException: of the wait that failed first.
    """
    over = threading.Event()
    failed: list[BaseException] = []

    def one(wait: Callable[[threading.Event], T]) -> T | None:
        try:
            return wait(over)
        except OverError:
            return None
        except BaseException as error:  # noqa: BLE001 - raised again by who waits for all
            failed.append(error)
            over.set()
            return None

    with ThreadPoolExecutor(len(waits)) as pool:
        try:
            found = list(pool.map(one, waits))
        finally:  # Ctrl-C, too, ends them within a second
            over.set()
    if failed:
        raise failed[0]
    return tuple(ready for ready in found if ready is not None)
