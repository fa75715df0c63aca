"""Tests of the simulator over its socket, served by this very process."""

from __future__ import annotations

import io
import json
import os
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from bench_agent.http1 import Body, body_of, split_head
from bench_agent.simulator.log import Log
from bench_agent.simulator.options import Options
from bench_agent.simulator.server import Simulator, listen


class Served:
    """A simulator whose loop a test turns by hand, and clients of it."""

    def __init__(self, **options: Any) -> None:
        self._stop, self._life = os.pipe()
        listener = listen("127.0.0.1", 0)
        self.port = listener.getsockname()[1]
        self.log = io.StringIO()
        known = {"model": "m", "ttft_ms": 2.0, "itl_ms": 1.0, **options}
        self.simulator = Simulator(Options(**known), listener, Log(self.log), self._stop)
        self._clients: list[socket.socket] = []

    def client(self) -> socket.socket:
        """A connection to it."""
        sock = socket.create_connection(("127.0.0.1", self.port))
        sock.setblocking(False)
        self._clients.append(sock)
        return sock

    def turn_until(self, done: Any, seconds: float = 5.0) -> None:
        """Turn its loop until *done* says so."""
        deadline = time.monotonic() + seconds
        wake = self.client()  # so that no turn waits long
        while not done():
            assert time.monotonic() < deadline, "it never happened"
            wake.send(b"GET /health HTTP/1.1\r\n\r\n")
            assert self.simulator._turn()

    def reply(self, sock: socket.socket) -> tuple[int, dict[str, str], bytes]:
        """The next whole reply on a connection: status, fields, body."""
        raw, payload = b"", b""
        body: Body | None = None
        status, fields = 0, {}

        def whole() -> bool:
            nonlocal raw, payload, body, status, fields
            try:
                data = sock.recv(1_000_000)
            except BlockingIOError:
                data = b""
            if body is None:
                raw += data
                split = split_head(raw)
                if split is None:
                    return False
                body = body_of(split[0], response=True)
                status, fields, data = split[0].status, split[0].fields, split[1]
            payload += body.feed(data)
            return body.done

        self.turn_until(whole)
        return status, fields, payload

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        sock: socket.socket | None = None,
        **fields: str,
    ) -> tuple[int, dict[str, str], bytes]:
        """One request and its reply."""
        sock = sock or self.client()
        sock.send(request(method, path, body, **fields))
        return self.reply(sock)

    def metric(self, name: str) -> float:
        """One value of /metrics."""
        page = self.ask("GET", "/metrics")[2].decode()
        line = next(x for x in page.splitlines() if x.startswith(f"vllm:{name}"))
        return float(line.rpartition(" ")[2])

    def close(self) -> None:
        """Stop it, and have it say goodbye."""
        os.close(self._life)
        self.simulator.serve()
        os.close(self._stop)
        for sock in self._clients:
            sock.close()


def request(method: str, path: str, body: Any = None, **fields: str) -> bytes:
    """A request as bytes; `fields` in Python's spelling."""
    payload = (
        b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    )
    lines = [f"{k.replace('_', '-')}: {v}" for k, v in fields.items()]
    head = [f"{method} {path} HTTP/1.1", f"content-length: {len(payload)}", *lines, "", ""]
    return "\r\n".join(head).encode() + payload


def events(body: bytes) -> list[Any]:
    """The events of a stream, [DONE] as a text."""
    found = [each.removeprefix(b"data: ") for each in body.split(b"\n\n") if each]
    return [each.decode() if each == b"[DONE]" else json.loads(each) for each in found]


@pytest.fixture
def served() -> Iterator[Served]:
    """A simulator of one request at a time and a context of 30 tokens."""
    one = Served(max_num_seqs=1, max_model_len=30)
    yield one
    one.close()


@pytest.fixture
def locked() -> Iterator[Served]:
    """A simulator with a key."""
    one = Served(api_key="sesame")
    yield one
    one.close()


STREAM = {
    "prompt": [1, 2],
    "max_tokens": 3,
    "stream": True,
    "stream_options": {"include_usage": True},
}


def test_a_completion_is_streamed(served: Served) -> None:
    """Tokens, a finish reason, the usage, and the end."""
    status, fields, body = served.ask("POST", "/v1/completions", STREAM, x_request_id="abc")
    found = events(body)

    assert (200, "abc", "[DONE]", 5) == (status, fields["x-request-id"], found[-1], len(found))
    assert [None, None, "length"] == [e["choices"][0]["finish_reason"] for e in found[:3]]
    assert {"prompt_tokens": 2, "total_tokens": 5, "completion_tokens": 3} == found[3]["usage"]
    assert ("cmpl-abc", "m") == (found[0]["id"], found[0]["model"])


def test_a_chat_begins_with_the_role(served: Served) -> None:
    """And has as many contents as tokens."""
    body = {"messages": [{"role": "user", "content": "a"}], "max_tokens": 2, "stream": True}
    found = events(served.ask("POST", "/v1/chat/completions", body)[2])

    assert {"role": "assistant", "content": ""} == found[0]["choices"][0]["delta"]
    assert 2 == sum(bool(e["choices"][0]["delta"].get("content")) for e in found[:-1])


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/chat/completions"])
def test_a_reply_can_come_in_one_piece(served: Served, path: str) -> None:
    """When no stream is asked for."""
    body = {"prompt": "a", "messages": [{"role": "user", "content": "a"}], "max_tokens": 4}
    found = json.loads(served.ask("POST", path, body)[2])

    assert (4, "length") == (
        found["usage"]["completion_tokens"],
        found["choices"][0]["finish_reason"],
    )


def test_one_token_is_first_and_last(served: Served) -> None:
    """Everything in one go."""
    found = events(served.ask("POST", "/v1/completions", {**STREAM, "max_tokens": 1})[2])

    assert (3, "length") == (len(found), found[0]["choices"][0]["finish_reason"])


def test_a_connection_carries_many_requests(served: Served) -> None:
    """Also when the next one comes before the reply is over."""
    sock = served.client()
    sock.send(request("POST", "/v1/completions", STREAM) * 2)
    first, second = served.reply(sock), served.reply(sock)

    assert [200, 200] == [first[0], second[0]]
    assert len(events(first[2])) == len(events(second[2]))


def test_tokens_go_out_on_schedule(served: Served) -> None:
    """Never early, by an absolute schedule: the truth says when."""
    served.ask("POST", "/v1/completions", {**STREAM, "max_tokens": 9}, x_request_id="abc")
    truth = json.loads(served.ask("GET", "/truth?clear=1")[2])
    late = [
        (sent - truth["arrived_ns"]) / 1e6 - 2.0 - i * 1.0
        for i, sent in enumerate(truth["sent_ns"])
    ]

    assert ("abc", 9) == (truth["request_id"], len(late))
    assert min(late) > -0.05
    assert min(late[1:]) < 1.0
    assert b"" == served.ask("GET", "/truth")[2]


def test_the_batch_has_a_limit(served: Served) -> None:
    """What does not fit waits in order, and is counted as waiting."""
    first, second = served.client(), served.client()
    for name, sock in (("one", first), ("two", second)):
        body = {**STREAM, "max_tokens": 25}
        sock.send(request("POST", "/v1/completions", body, x_request_id=name))
        # The first is in before the second comes.
        served.turn_until(lambda: b"POST" in served.log.getvalue().encode())
    waiting = served.metric("num_requests_waiting")
    running = served.metric("num_requests_running")
    served.reply(first)
    served.reply(second)
    truths = [json.loads(line) for line in served.ask("GET", "/truth")[2].splitlines()]

    assert (1.0, 1.0) == (waiting, running)
    assert ["one", "two"] == [t["request_id"] for t in truths]
    assert truths[1]["sent_ns"][0] > truths[0]["sent_ns"][-1]
    assert 0.0 == served.metric("num_requests_running")


def test_a_client_that_goes_is_counted_as_aborted(served: Served) -> None:
    """Whether it ran or waited; its place is free again."""
    running, waiting = served.client(), served.client()
    for sock in (running, waiting):
        sock.send(request("POST", "/v1/completions", {**STREAM, "max_tokens": 20}))
    served.turn_until(lambda: served.log.getvalue().count("POST") == 2)
    waiting.close()
    running.close()
    aborted = 'request_success_total{engine="0",finished_reason="abort"'
    served.turn_until(lambda: served.metric(aborted) == 2.0)

    assert 200 == served.ask("POST", "/v1/completions", STREAM)[0]


def test_a_client_that_does_not_read_holds_up_itself_only() -> None:
    """Its tokens wait for room; each has the stamp of when it really went."""
    served = Served(max_num_seqs=2, max_model_len=1_000_000, ttft_ms=0.0, itl_ms=0.0)
    try:
        slow = served.client()
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 131072)
        slow.send(request("POST", "/v1/completions", {**STREAM, "max_tokens": 30_000}))
        served.turn_until(lambda: any(link.out for link in served.simulator._links.values()))
        other = served.ask("POST", "/v1/completions", STREAM)
        body = served.reply(slow)[2]
    finally:
        served.close()

    assert (200, 30_000 + 2) == (other[0], body.count(b"\n\n"))


def test_small_pages(served: Served) -> None:
    """What clients ask for before they begin."""
    model = json.loads(served.ask("GET", "/v1/models")[2])["data"][0]
    count = json.loads(served.ask("POST", "/tokenize", {"prompt": "a b"})[2])
    chat = {"messages": [{"role": "user", "content": "a b c"}]}

    assert (200, b"") == served.ask("GET", "/health")[::2]
    assert ("m", 30) == (model["id"], model["max_model_len"])
    assert (2, [6907, 9681], 30) == (count["count"], count["tokens"], count["max_model_len"])
    assert 3 == json.loads(served.ask("POST", "/tokenize", chat)[2])["count"]
    assert "simulator" in json.loads(served.ask("GET", "/version")[2])["version"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/nowhere", None, 404),
        ("GET", "/v1/completions", None, 405),
        ("POST", "/health", None, 405),
        ("POST", "/v1/completions", b"{", 400),
        ("POST", "/v1/completions", {"model": "other", "prompt": "a"}, 404),
        ("POST", "/v1/completions", {"prompt": "a", "max_tokens": 30}, 400),
        ("POST", "/tokenize", {"prompt": 5}, 400),
        ("GET", "/truth?since=x", None, 400),
    ],
)
def test_refusals(served: Served, method: str, path: str, body: Any, status: int) -> None:
    """Each with its status, and the connection goes on."""
    sock = served.client()

    assert status == served.ask(method, path, body, sock=sock)[0]
    assert 200 == served.ask("GET", "/health", sock=sock)[0]


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({}, 401),
        ({"authorization": "Bearer wrong"}, 401),
        ({"authorization": "Bearer sesame"}, 200),
    ],
)
def test_the_key_is_asked_for(locked: Served, fields: dict[str, str], status: int) -> None:
    """Below /v1 only: health is for everybody. It is never logged."""
    assert status == locked.ask("GET", "/v1/models", **fields)[0]
    assert 200 == locked.ask("GET", "/health")[0]
    assert "sesame" not in locked.log.getvalue()


@pytest.mark.parametrize(
    "raw", [b"\x00\x01\r\n\r\n", b"GET /\r\n\r\n", b"GET / HTTP/1.1\r\nx\r\n\r\n"]
)
def test_what_is_no_http_is_refused(served: Served, raw: bytes) -> None:
    """400, and the connection ends."""
    sock = served.client()
    sock.send(raw)

    assert 400 == served.reply(sock)[0]
    assert b"" == sock.recv(1)


@pytest.mark.parametrize("path", ["/health", "/v1/completions"])
def test_a_connection_is_closed_when_asked(served: Served, path: str) -> None:
    """After the reply, whoever sends it."""
    sock = served.client()
    method = "GET" if path == "/health" else "POST"
    served.ask(method, path, STREAM if method == "POST" else None, sock, connection="close")

    assert b"" == sock.recv(1)


def test_a_client_that_waits_for_permission_gets_it(served: Served) -> None:
    """100 Continue, then the reply."""
    sock = served.client()
    sock.send(request("POST", "/tokenize", {"prompt": "a"}, expect="100-continue"))
    seen = b""

    def answered() -> bool:
        nonlocal seen
        try:
            seen += sock.recv(65536)
        except BlockingIOError:
            return False
        return b'"count":1' in seen

    served.turn_until(answered)

    assert seen.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")


def test_the_log_looks_like_vllm_s(served: Served) -> None:
    """From the start on; the engine's own line comes now and then."""
    served.simulator._say_hello()
    served.ask("POST", "/v1/completions", STREAM)
    served.simulator._stats_ns -= 20_000_000_000
    served.simulator._say_stats()
    log = served.log.getvalue()

    assert "INFO:     Application startup complete." in log
    assert '"POST /v1/completions HTTP/1.1" 200 OK' in log
    assert "Engine 000: Avg prompt throughput:" in log


def test_a_port_in_use_is_an_error(served: Served) -> None:
    """And leaves no socket behind."""
    with pytest.raises(OSError, match="in use"):
        listen("127.0.0.1", served.port)
