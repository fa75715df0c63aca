"""GPUs that work together are those that are closest to each other."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioning.gpu_placing import Link, distance, grouped
from tests.lab import machine

GPUS = Path(machine.__file__).parent / "gpus"


def board(name: str) -> tuple[list[str], list[Link]]:
    """GPUs and links of a board of the lab, its sockets sharing its GPUs evenly."""
    about = json.loads((GPUS / f"{name}.json").read_text())
    count = len(about["gpus"])
    each = count // about["sockets"]
    pairs = itertools.combinations(range(count), 2)
    ways = [
        (str(a), str(b), about["links"]["near" if a // each == b // each else "far"])
        for a, b in pairs
    ]
    return [str(n) for n in range(count)], ways


def joined(*groups: Sequence[int], way: str, others: str, count: int) -> list[Link]:
    """Links: *way* within the groups, and *others* between."""
    return [
        (str(a), str(b), way if any({a, b} <= set(group) for group in groups) else others)
        for a, b in itertools.combinations(range(count), 2)
    ]


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (1, ["0", "1", "2", "3", "4", "5", "6", "7"]),
        (2, ["01", "23", "45", "67"]),
        (3, ["012", "456"]),
        (4, ["0123", "4567"]),
        (5, ["01234"]),
        (8, ["01234567"]),
        (9, []),
    ],
)
def test_eight_on_two_sockets(size: int, expected: list[str]) -> None:
    """A group crosses the sockets only when one socket has not enough."""
    names, links = board("rtx-pro-6000x8")
    assert expected == ["".join(group) for group in grouped(names, links, size)]


def test_pairs_behind_one_switch_come_first() -> None:
    """Whatever their numbers are."""
    links = joined((0, 3), (1, 2), way="PIX", others="NODE", count=4)
    assert (("0", "3"), ("1", "2")) == grouped("0123", links, 2)


def test_more_nvlinks_come_before_fewer() -> None:
    """And both before PCIe: one pair of two that is wanted."""
    links = [("0", "1", "NV4"), ("2", "3", "NV12"), ("4", "5", "PIX")]
    assert (("2", "3"),) == grouped("012345", links, 2, 1)
    assert (("2", "3"), ("0", "1"), ("4", "5")) == grouped("012345", links, 2)


def test_what_is_left_over_is_joined_from_afar() -> None:
    """Three on each socket: the third pair crosses."""
    links = joined((0, 1, 2), (3, 4, 5), way="NODE", others="SYS", count=6)
    assert (("0", "1"), ("3", "4"), ("2", "5")) == grouped("012345", links, 2)


def test_without_a_matrix_they_are_taken_in_turn() -> None:
    """Some virtual machines have none."""
    assert (("0", "1"), ("2", "3")) == grouped("01234", (), 2)


def test_distances_grow() -> None:
    """NVLink, then PCIe by what lies between; what is not known is far."""
    ways = ["NV18", "NV1", "PIX", "PXB", "PHB", "NODE", "SYS", "odd"]
    found = [distance(way) for way in ways]
    assert sorted(set(found)) == found


@given(
    st.integers(1, 10).flatmap(
        lambda count: st.tuples(
            st.just(count),
            st.lists(st.sampled_from(["NV2", "PIX", "NODE", "SYS"]), min_size=45, max_size=45),
            st.integers(1, 10),
            st.one_of(st.none(), st.integers(1, 10)),
        )
    )
)
def test_as_many_whole_groups_as_there_can_be(
    drawn: tuple[int, list[str], int, int | None],
) -> None:
    """Each GPU in one group at most, each group full, however they are linked."""
    count, ways, size, most = drawn
    names = [str(n) for n in range(count)]
    pairs = itertools.combinations(names, 2)
    links = [(a, b, way) for (a, b), way in zip(pairs, ways, strict=False)]
    found = grouped(names, links, size, most)
    room = count // size
    assert (room if most is None else min(most, room)) == len(found)
    used = [name for group in found for name in group]
    assert len(used) == len(set(used)) == size * len(found)
