"""Which GPUs each instance of an engine gets: those that are closest to each other. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

#: Ways between GPUs from the shortest to the longest, as ``nvidia-smi topo`` names them: one PCIe
#: switch, several, a host bridge, a NUMA node, the link between sockets.
_WAYS = ("PIX", "PXB", "PHB", "NODE", "SYS")
_NVLINK = re.compile(r"NV(\d+)")
Link = tuple[str, str, str]


def grouped(
    names: Sequence[str], links: Iterable[Link], size: int, most: int | None = None
) -> tuple[tuple[str, ...], ...]:
    """Groups of *size* GPUs, at *most* so many: the closest first, each GPU in one group.

    *links* are pairs of names and the way between them; a pair without one is far apart.
    """
    far = {frozenset(pair): distance(way) for *pair, way in links}
    left = list(names)
    found: list[tuple[str, ...]] = []
    for reach in sorted({*far.values(), len(_WAYS)}):
        for circle in _circles(left, far, reach):
            room = len(circle) // size if most is None else most - len(found)
            taken = circle[: size * min(room, len(circle) // size)]
            found += [tuple(taken[n : n + size]) for n in range(0, len(taken), size)]
            left = [name for name in left if name not in taken]
    return tuple(found)


def distance(way: str) -> int:
    """How far apart GPUs with this way between them are; more NVLinks are closer."""
    if nvlink := _NVLINK.fullmatch(way):
        return -int(nvlink[1])
    return _WAYS.index(way) if way in _WAYS else len(_WAYS)


def _circles(names: Sequence[str], far: dict[frozenset[str], int], reach: int) -> list[list[str]]:
    """Names that can be gone between in steps of *reach* at most, in their order."""
    circles: list[list[str]] = []
    for name in names:
        near = [
            circle
            for circle in circles
            if any(far.get(frozenset((name, other)), len(_WAYS)) <= reach for other in circle)
        ]
        joined = {name, *(other for circle in near for other in circle)}
        circles = [circle for circle in circles if circle not in near]
        circles.append([other for other in names if other in joined])
    return sorted(circles, key=lambda circle: names.index(circle[0]))
