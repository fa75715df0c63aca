"""Tests of the telemetry process' loop, in this process."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from bench_agent.protocol import Target
from bench_agent.telemetry import Order, client_cpu, process
from bench_agent.telemetry.process import Watch
from tests.bench_agent.telemetry.conftest import Smi, eventually, sets

Simulate = Callable[..., str]
NOWHERE = "http://127.0.0.1:1"


class Ends:
    """Both pipes of a watch."""

    def __init__(self) -> None:
        self.orders, self.tell = os.pipe()
        self.hear, self.answers = os.pipe()
        self.open = {self.orders, self.tell, self.hear, self.answers}

    def order(self, *orders: Order) -> None:
        os.write(self.tell, b"".join(json.dumps(o).encode() + b"\n" for o in orders))

    def close(self, *ends: int) -> None:
        for end in self.open & set(ends):
            os.close(end)
        self.open -= set(ends)


@pytest.fixture
def ends() -> Iterator[Ends]:
    found = Ends()
    yield found
    found.close(*found.open)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "telemetry.jsonl"


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """None but a stand-in, whatever this machine has."""
    spawn = os.posix_spawnp

    def only_ours(name: str, *args: Any, **options: Any) -> int:
        if "pytest" not in os.environ["PATH"].partition(":")[0]:
            raise FileNotFoundError(name)
        return spawn(name, *args, **options)

    monkeypatch.setattr(os, "posix_spawnp", only_ours)


def watch(path: Path, ends: Ends, url: str = NOWHERE, main: int | None = None) -> Watch:
    link = (ends.orders, ends.answers)
    return Watch(path, Target((url,), "m"), None, os.getppid() if main is None else main, link)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_an_order_is_a_line_at_once(simulate: Simulate, path: Path, ends: Ends) -> None:
    """Marked, with the server's figures; its time comes back. The end of orders is the end."""
    now = time.time_ns()
    ends.order(Order("begin", "00-c4", now), Order("end", t_ns=now + 1))
    ends.close(ends.tell)
    watch(path, ends, simulate()).run()
    begin, end = lines(path)

    assert [("begin", "00-c4"), ("end", "00-c4")] == [(x["mark"], x["point"]) for x in (begin, end)]
    assert [0.0, 0.0] == [begin["server"]["running"], end["server"]["generation_tokens"]]
    assert b"%d\n%d\n" % (now, now + 1) == os.read(ends.hear, 100)
    assert now < begin["t_ns"] < end["t_ns"]
    assert (None, None) == (begin["gpu"], begin["client_cpu"])


def test_what_came_too_late_is_no_mark(path: Path, ends: Ends) -> None:
    """The counters are not those of that moment any more."""
    ends.order(Order("begin", "p", time.time_ns() - 2 * 10**9))
    ends.close(ends.tell)
    watch(path, ends).run()
    (line,) = lines(path)

    assert ("p", None, False) == (line["point"], line["server"], "mark" in line)


@pytest.mark.integration
def test_lines_come_by_themselves(path: Path, ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between points, without one; until the word is said."""
    monkeypatch.setattr(process, "EVERY_S", 0.3)
    monkeypatch.setattr(client_cpu, "_SHORTEST_S", 0.1)
    running = threading.Thread(target=watch(path, ends).run)
    running.start()
    ends.order(Order("begin", "p", time.time_ns()))
    enough = eventually(lambda: path.exists() and len(lines(path)) >= 4)
    ends.order(Order("end", t_ns=time.time_ns()))
    more = eventually(lambda: lines(path)[-1]["point"] == "")
    ends.order(Order("stop"))
    running.join(10)
    found = lines(path)
    gaps = [(b["t_ns"] - a["t_ns"]) / 1e9 for a, b in pairwise(found)]

    assert (True, True, False) == (enough, more, running.is_alive())
    assert {"p"} == {x["point"] for x in found[: [x.get("mark") for x in found].index("end") + 1]}
    assert min(gaps[:3]) >= 0.29
    assert all(isinstance(x["client_cpu"], float) for x in found[1:3])


def test_an_order_is_urgent(path: Path, ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that is left alone is asked all the same."""
    asked: list[bool] = []
    watched = watch(path, ends)
    monkeypatch.setattr(watched._server, "scrape", lambda *, urgent: asked.append(urgent))
    watched._obey(Order("begin", "p", time.time_ns()))
    watched._line()

    assert [True, False] == asked


def test_it_ends_with_its_parent(path: Path, ends: Ends) -> None:
    """A line that was under way is not written any more."""
    orphan = watch(path, ends, main=os.getppid() + 1)
    orphan._obey(Order("begin", "p", time.time_ns()))
    orphan.run()

    assert not path.exists()


def test_a_full_disk_is_for_the_run_to_tell(ends: Ends) -> None:
    """Telemetry goes on."""
    now = time.time_ns()
    ends.order(Order("begin", "p", now))
    ends.close(ends.tell)
    watch(Path("/dev/full"), ends).run()

    assert b"%d\n" % now == os.read(ends.hear, 100)


def test_nobody_to_answer_is_no_error(path: Path, ends: Ends) -> None:
    """The parent may have died in between."""
    ends.order(Order("begin", "p", time.time_ns()))
    ends.close(ends.tell, ends.hear)
    watch(path, ends).run()

    assert ["begin"] == [line["mark"] for line in lines(path)]


def test_gpus_are_in_the_lines(smi: Smi, path: Path, ends: Ends) -> None:
    """At the end of a point, those that came after it too, so that its energy is whole."""
    smi(sets(*range(50), count=2) + "exec sleep 60")
    watched = watch(path, ends)
    assert watched._gpu is not None
    assert eventually(lambda: watched._gpu is not None and len(watched._gpu._last_ns) == 2)
    ended = time.time_ns()
    ends.order(Order("end", t_ns=ended))
    ends.close(ends.tell)
    watched.run()
    samples = [s for line in lines(path) for s in line["gpu"]]
    last = {s["index"]: s["t_ns"] for s in samples}

    assert (2, True) == (len(last), min(last.values()) >= ended)


@pytest.mark.parametrize(
    ("url", "here"),
    [
        (NOWHERE, True), ("https://localhost:1", True), ("http://[::1]:1", True),
        ("http://10.0.0.1:1", False), ("http://127.example.org:1", False),
    ],
)  # fmt: skip
def test_gpus_of_another_machine_are_not_those_here(
    path: Path, ends: Ends, url: str, here: bool
) -> None:
    """None are watched where the server is elsewhere."""
    watched = watch(path, ends, url)

    assert here == (watched._gpu is not None)
