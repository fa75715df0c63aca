"""Tests of replies that are followed by their segments, against a server of known timing."""

from __future__ import annotations

import os
import select
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from bench_agent.load import follower
from bench_agent.load.worker import Worker
from bench_agent.storage import read_records
from tests.bench_agent.load.loads import load, worked
from tests.bench_agent.misbehaving import DONE, END, HEAD, event, read_request, token
from tests.bench_agent.test_accuracy import late_ms, measured, timing_server

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs the right to open a packet socket (root)"),
]
STREAMS = 80


def work(url: str, control: int, records: Path, **changes: object) -> Worker:
    """Put a load on from this process; the worker afterwards."""
    values = {"num_prompts": STREAMS, "max_concurrency": STREAMS, "timeout_s": 30.0}
    made = load(url, **{**values, **changes})
    with records.open("ab") as sink:
        return worked(made, control, sink.write)


def test_a_server_that_sends_at_once_is_followed(pipe: tuple[int, int], records_path: Path) -> None:
    """It needs no acknowledgement for its next token; one trial shows it."""
    with timing_server(20.0, 5.0) as url:
        worker = work(url, pipe[0], records_path, output_len=120)

    assert worker._follower is not None
    assert {0} == worker._follower.patience.known
    assert STREAMS == worker.tally.completed


def test_a_client_that_sleeps_has_the_times_all_the_same(records_path: Path) -> None:
    """It stalls for 60 ms again and again: no token's time is off by a millisecond for that."""
    before = follower.of
    late: list[float] = []

    def sleepy(*args: object, **kwargs: object) -> object:
        found = before(*args, **kwargs)  # type: ignore[arg-type]
        assert found is not None
        step = found.step

        def stalling(now: int, busy: int) -> None:
            if found.patience.known:
                select.select([], [], [], 0.06)
            step(now, busy)

        found.step = stalling  # type: ignore[method-assign]
        return found

    follower.of = sleepy  # type: ignore[assignment]
    try:
        records, truth, _ = measured(
            records_path, itl_ms=8.0, num_prompts=STREAMS, max_concurrency=STREAMS, output_len=150
        )
    finally:
        follower.of = before
    for record in records:
        late += late_ms(record, truth)[75:]

    assert STREAMS * 75 == len(late)
    assert 0.0 < min(late)
    assert sorted(late)[len(late) * 99 // 100] < 1.0


def test_the_end_of_a_reply_is_seen_at_once(
    pipe: tuple[int, int], records_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next request of its stream goes out then, though nobody looks for waiting tokens."""
    monkeypatch.setattr(follower, "_ROUND_NS", 60_000_000_000)
    monkeypatch.setattr(follower, "_SEGMENTS_A_LOOK", 1 << 30)
    with timing_server(20.0, 5.0) as url:
        worker = work(
            url, pipe[0], records_path, num_prompts=4 * STREAMS, output_len=80, timeout_s=10.0
        )
    records = list(read_records(records_path))

    assert worker._follower is not None
    assert {0} == worker._follower.patience.known
    assert (4 * STREAMS, True) == (len(records), all(record.success for record in records))
    assert max(r.sent_ns - r.due_ns for r in records) < 5e9


def test_one_that_waits_for_acknowledgements_is_left_alone(
    pipe: tuple[int, int], records_path: Path
) -> None:
    """With Nagle's algorithm it would hold its tokens back for 40 ms."""
    with nagling() as url:
        worker = work(url, pipe[0], records_path, output_len=100)
    gaps = sorted(
        later - earlier
        for record in read_records(records_path)
        for earlier, later in zip(record.chunk_ns, record.chunk_ns[1:], strict=False)
    )

    assert worker._follower is not None
    assert (set(), STREAMS) == (worker._follower.patience.known, worker.tally.completed)
    assert STREAMS * 99 == len(gaps)
    assert gaps[len(gaps) * 95 // 100] < 35e6


def test_a_connection_that_breaks_ends_its_reply(pipe: tuple[int, int], records_path: Path) -> None:
    """Followed or not, a server that goes is told as that, with what it had sent."""
    with nagling(nodelay=True, tokens_before_end=60) as url:
        worker = work(url, pipe[0], records_path, output_len=100)
    records = list(read_records(records_path))

    assert worker._follower is not None
    assert {0} == worker._follower.patience.known
    assert {("truncated", 60)} == {(r.failure, len(r.chunk_ns)) for r in records}
    assert STREAMS == len(records)


@contextmanager
def nagling(*, nodelay: bool = False, tokens_before_end: int | None = None) -> Iterator[str]:
    """A server in a forked process that sends a token every 8 ms to all its clients."""
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        pid = os.fork()
        if pid == 0:
            with suppress(BaseException):
                _serve(listener, nodelay, tokens_before_end)
            os._exit(0)
    try:
        yield url
    finally:
        os.waitpid(pid, 0)


def _serve(listener: socket.socket, nodelay: bool, tokens_before_end: int | None) -> None:
    listener.settimeout(20.0)
    clients = []
    for _ in range(STREAMS):
        client = listener.accept()[0]
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, int(nodelay))
        clients.append(client)
    for client in clients:
        read_request(client)
        client.sendall(HEAD)
    due = time.monotonic()
    for number in range(tokens_before_end or 100):
        due += 0.008
        while (left := due - time.monotonic()) > 0:
            time.sleep(left)
        for client in clients:
            client.sendall(token("length" if number == 99 else None))
    usage = event({"choices": [], "usage": {"prompt_tokens": 8, "completion_tokens": 100}})
    if tokens_before_end is None:
        for client in clients:
            client.sendall(usage + DONE + END)
    for client in clients:
        client.close()
