"""Tests of failures: each is called what it is, and harms nobody else."""

from __future__ import annotations

import signal
import socket
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench_agent.load.plan import Load, Request
from bench_agent.load.pool import Outcome, drive
from bench_agent.protocol import FAILURES, Point, RequestRecord
from bench_agent.storage import read_records
from tests.bench_agent.faults import EXPECTED, FAULTS, GOOD, GOOD_OUTPUT, faults, gone
from tests.bench_agent.misbehaving import misbehaving, read_request

pytestmark = pytest.mark.integration
#: Longer than any of these loads may take, on a machine with other things to do.
PATIENCE_S = 20
TIMEOUT_S = 1.0
STALL_S = 0.5


class Few:
    """Requests of two tokens, without an end."""

    count: int | None = None

    def __call__(self, index: int) -> Request:
        return Request(f"number {index}", GOOD_OUTPUT)


@pytest.fixture(scope="module")
def faulty_url() -> Iterator[str]:
    """A server that fails as its path says."""
    with faults() as url:
        yield url


@pytest.fixture(scope="module")
def good_url() -> Iterator[str]:
    """A server that always answers."""
    with faults() as url:
        yield f"{url}/good"


@pytest.fixture(autouse=True)
def in_time() -> Iterator[None]:
    """Whatever hangs is ended, and fails its test."""

    def late(*_: object) -> None:
        raise TimeoutError("the load did not end")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(PATIENCE_S)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def load(*urls: str, num_prompts: int = 8, **changes: Any) -> Load:
    """Requests to all of *urls* in turn, four at once."""
    values: dict[str, Any] = {
        "name": "x",
        "point": Point("00-c4", num_prompts=num_prompts, max_concurrency=4),
        "base_urls": urls,
        "model": "m",
        "api": "completions",
        "requests": Few(),
        "timeout_s": TIMEOUT_S,
        "stall_timeout_s": STALL_S,
    }
    return Load(**{**values, **changes})


def limits(kind: str | None) -> dict[str, float]:
    """Short is only the one that this failure has to meet: a busy machine is slow at all else."""
    return {
        "timeout_s": TIMEOUT_S if kind == "timeout" else PATIENCE_S,
        "stall_timeout_s": STALL_S if kind == "stalled" else PATIENCE_S,
    }


def put_on(load: Load, path: Path) -> tuple[dict[str, list[RequestRecord]], Outcome]:
    """The records by endpoint, in the order of their requests."""
    outcome = drive(load, path, lambda _tally: True)
    found: dict[str, list[RequestRecord]] = {url: [] for url in load.base_urls}
    for record in sorted(read_records(path), key=lambda record: record.index):
        found[record.endpoint].append(record)
    return found, outcome


def test_every_fault_has_its_class() -> None:
    """None is left out below, and every class that a server can cause is caused."""
    assert set(FAULTS) == {*EXPECTED, "dies"}
    assert set(FAILURES) - {"refused", "stopped"} == {kind for kind in EXPECTED.values() if kind}


@pytest.mark.parametrize("fault", sorted(EXPECTED))
def test_a_fault_is_called_what_it_is(
    faulty_url: str, good_url: str, records_path: Path, fault: str
) -> None:
    """With a sentence, beside a server whose requests succeed; all of them are counted."""
    bad_url = f"{faulty_url}/{fault}"
    kind = EXPECTED[fault]
    found, outcome = put_on(load(good_url, bad_url, num_prompts=4, **limits(kind)), records_path)
    bad, tally = found[bad_url], outcome.tally

    assert [None] * 2 == [record.failure for record in found[good_url]]
    assert [(kind, kind is None)] * 2 == [(record.failure, record.success) for record in bad]
    assert {kind is not None} == {0 < len(record.error or "") <= 600 for record in bad}
    assert (4, 4 if kind is None else 2) == (tally.requested, tally.completed)
    assert (0 if kind is None else 2, False) == (tally.failed, outcome.stopped)


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("status-500", "CUDA out of memory"),
        ("error-event", "engine died"),
        ("error-then-cut", "engine died"),
        ("status-429-forever", "later"),
    ],
)
def test_the_server_s_own_words_are_kept(
    faulty_url: str, records_path: Path, fault: str, told: str
) -> None:
    """What a person needs to mend it."""
    url = f"{faulty_url}/{fault}"
    (record,) = put_on(load(url, num_prompts=1), records_path)[0][url]

    assert told in str(record.error)


@pytest.mark.parametrize(("fault", "status"), [("status-500", 500), ("redirect", 307)])
def test_the_status_is_kept(faulty_url: str, records_path: Path, fault: str, status: int) -> None:
    """A redirect is not followed: the load belongs where it was sent."""
    url = f"{faulty_url}/{fault}"
    (record,) = put_on(load(url, num_prompts=1), records_path)[0][url]

    assert status == record.http_status


def test_all_faults_at_once_harm_nobody_else(
    faulty_url: str, good_url: str, records_path: Path
) -> None:
    """Every way to fail in one load, over several workers, with every other request healthy."""
    bad = [f"{faulty_url}/{fault}" for fault in sorted(EXPECTED)]
    urls = [each for url in bad for each in (good_url, url)]
    point = Point("00-c64", num_prompts=len(urls), max_concurrency=64)
    found, _ = put_on(
        load(*urls, point=point, workers=2, timeout_s=5.0, stall_timeout_s=2.0), records_path
    )

    assert {None} == {record.failure for record in found[good_url]}
    assert len(bad) == len(found[good_url])
    assert {url: [EXPECTED[url.rpartition("/")[2]]] for url in bad} == {
        url: [record.failure for record in found[url]] for url in bad
    }


def test_nobody_listening_is_refused(good_url: str, records_path: Path) -> None:
    """Each request is; nobody waits for it."""
    with socket.socket() as taken:  # bound, so that nobody else gets it, and deaf
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        found, outcome = put_on(load(good_url, url), records_path)

    assert ["refused"] * 4 == [record.failure for record in found[url]]
    assert [None] * 4 == [record.failure for record in found[good_url]]
    assert 4 == outcome.tally.failed


def test_a_server_that_dies_takes_only_its_own_requests(good_url: str, records_path: Path) -> None:
    """Those under way are cut, those after that are refused; the other server's go on."""
    with faults() as url:
        mortal = f"{url}/dies"
        found, _ = put_on(load(good_url, mortal, num_prompts=40), records_path)
    kinds = Counter(record.failure for record in found[mortal])

    assert [None] * 20 == [record.failure for record in found[good_url]]
    assert 20 == kinds["refused"] + kinds["truncated"] + kinds["reset"]
    assert kinds["refused"] >= 10
    assert kinds["truncated"] + kinds["reset"] >= 1


@pytest.mark.parametrize("fault", ["silent", "stalled", "endless-stream", "endless-header"])
def test_a_load_that_is_told_to_stop_does(
    faulty_url: str, good_url: str, records_path: Path, fault: str
) -> None:
    """Even where a server holds its requests, for all of an hour; they are on record."""
    urls = (good_url, f"{faulty_url}/{fault}")
    patient = load(*urls, timeout_s=3600.0, stall_timeout_s=3600.0, num_prompts=400)
    began = time.monotonic()
    outcome = drive(patient, records_path, lambda tally: tally.completed < 2)
    kinds = Counter(record.failure for record in read_records(records_path))

    assert outcome.stopped
    assert time.monotonic() - began < PATIENCE_S / 2
    assert kinds[None] >= 2
    assert set(kinds) <= {None, "stopped", EXPECTED[fault]}


def test_a_slow_reply_is_no_stall(records_path: Path) -> None:
    """Silence counts from the last byte: a reply may take longer than that in all."""

    def slow(sock: socket.socket) -> None:
        while read_request(sock):
            for piece in GOOD.splitlines(keepends=True)[:-1]:
                gone(sock, STALL_S / 10)
                sock.sendall(piece)
            sock.sendall(GOOD.splitlines(keepends=True)[-1])

    with misbehaving(slow) as url:
        found, _ = put_on(load(f"{url}/x", num_prompts=2, timeout_s=PATIENCE_S), records_path)

    assert [None, None] == [record.failure for record in found[f"{url}/x"]]
