"""Tests of replies that are followed while something goes wrong."""

from __future__ import annotations

import os
import signal
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from bench_agent.load import follower, tap
from bench_agent.storage import read_records
from tests.bench_agent.load.test_follower import STREAMS, work
from tests.bench_agent.misbehaving import DONE, END, HEAD, event, read_request, token

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs the right to open a packet socket (root)"),
]
TOKENS = 60
USAGE = event({"choices": [], "usage": {"prompt_tokens": 8, "completion_tokens": TOKENS}})
#: What a server does on one connection, of this number.
Handler = Callable[[socket.socket, int], None]


@contextmanager
def serving(handler: Handler) -> Iterator[str]:
    """A server in a forked process, a thread a connection."""
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        pid = os.fork()
        if pid == 0:
            with suppress(BaseException):
                _accept(listener, handler)
            os._exit(1)
    try:
        yield url
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _accept(listener: socket.socket, handler: Handler) -> None:
    def one(client: socket.socket, number: int) -> None:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with client, suppress(OSError):
            handler(client, number)

    number = 0
    while True:
        client, _ = listener.accept()
        threading.Thread(target=one, args=(client, number), daemon=True).start()
        number += 1


def replied(client: socket.socket, *, until: int = TOKENS) -> None:
    """Tokens of a reply, one every 5 ms; the end, too, if all of them."""
    client.sendall(HEAD)
    due = time.monotonic()
    for number in range(until):
        due += 0.005
        while (left := due - time.monotonic()) > 0:
            time.sleep(left)
        client.sendall(token("length" if number == TOKENS - 1 else None))
    if until == TOKENS:
        client.sendall(USAGE + DONE + END)


def reset(client: socket.socket) -> None:
    """Have the connection end with an RST."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def outcomes(path: Path) -> Counter[tuple[str | None, int]]:
    """How often each failure, or none, with how many tokens."""
    return Counter((r.failure, len(r.chunk_ns)) for r in read_records(path))


@pytest.mark.parametrize("how", ["after a reply", "on the next request", "by a reset"])
def test_kept_connections_that_the_server_closes_are_replaced(
    pipe: tuple[int, int], records_path: Path, how: str
) -> None:
    """Without having said so: no request fails, and nothing is read for ever."""

    def handler(client: socket.socket, _number: int) -> None:
        read_request(client)
        replied(client)
        if how != "after a reply":
            read_request(client)
        if how == "by a reset":
            reset(client)

    with serving(handler) as url:
        worker = work(url, pipe[0], records_path, num_prompts=4 * STREAMS, output_len=TOKENS)

    assert worker._follower is not None
    assert {0} == worker._follower.patience.known
    assert {(None, TOKENS): 4 * STREAMS} == outcomes(records_path)


@pytest.mark.parametrize(("until", "failure"), [(TOKENS, None), (50, "reset")])
def test_what_came_before_a_reset_counts(
    pipe: tuple[int, int], records_path: Path, until: int, failure: str | None
) -> None:
    """A reply that was whole is whole, one that was cut has the tokens that came."""

    def handler(client: socket.socket, _number: int) -> None:
        read_request(client)
        replied(client, until=until)
        reset(client)

    with serving(handler) as url:
        work(url, pipe[0], records_path, num_prompts=2 * STREAMS, output_len=TOKENS)

    assert {(failure, until): 2 * STREAMS} == outcomes(records_path)


def test_a_flood_of_ends_does_not_hold_up_the_others(
    pipe: tuple[int, int], records_path: Path
) -> None:
    """Chunks that look like the end of a reply, without end, on one of the connections."""

    def handler(client: socket.socket, number: int) -> None:
        read_request(client)
        replied(client)
        while read_request(client):
            if number == 0:
                replied(client, until=20)
                while True:
                    client.sendall(b"4\r\n\r\n\r\n\r\n" * 20_000)
            replied(client)

    with serving(handler) as url:
        worker = work(
            url, pipe[0], records_path, num_prompts=2 * STREAMS, output_len=TOKENS, timeout_s=6.0
        )
    found = outcomes(records_path)

    assert (2 * STREAMS - 1, 1) == (worker.tally.completed, worker.tally.failed)
    assert 2 * STREAMS - 1 == found[None, TOKENS]


def test_replies_are_read_though_the_ring_lost_them(
    pipe: tuple[int, int], records_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is not told of is read all the same, and it is counted."""
    monkeypatch.setattr(tap, "_BLOCKS", 1)
    monkeypatch.setattr(tap, "_FRAMES", tap._BLOCK // tap._FRAME)
    stalls = iter([0.7])
    before = follower.Follower.step

    def stalling(self: follower.Follower, now: int, busy: int) -> None:
        if self.patience.known:
            threading.Event().wait(next(stalls, 0.0))
        before(self, now, busy)

    monkeypatch.setattr(follower.Follower, "step", stalling)

    def handler(client: socket.socket, _number: int) -> None:
        while read_request(client):
            replied(client)

    with serving(handler) as url:
        worker = work(url, pipe[0], records_path, num_prompts=3 * STREAMS, output_len=TOKENS)

    assert {(None, TOKENS): 3 * STREAMS} == outcomes(records_path)
    assert worker.tally.lost_segments > 0


def test_long_requests_are_sent_to_their_end(pipe: tuple[int, int], records_path: Path) -> None:
    """Though the server reads late, on a connection of which the replies are followed."""

    def handler(client: socket.socket, _number: int) -> None:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        while read_request(client):
            replied(client)
            threading.Event().wait(0.05)

    with serving(handler) as url:
        worker = work(
            url,
            pipe[0],
            records_path,
            num_prompts=2 * STREAMS,
            output_len=TOKENS,
            extra_body={"padding": "x" * 600_000},
        )

    assert {(None, TOKENS): 2 * STREAMS} == outcomes(records_path)
    assert worker._follower is not None
    assert {0} == worker._follower.patience.known
