"""Tests of the simulator over its socket, served by this very process."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest

from bench_agent.simulator.server import listen
from tests.bench_agent.simulator.served import STREAM, Served, events, request


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
    """Never early, by an absolute schedule: the truth says when.

    A machine with other things to do gets several chances to be in time.
    """
    late = [1.0]
    for number in range(20):
        name = f"abc{number}"
        body = {**STREAM, "max_tokens": 25}
        served.ask("POST", "/v1/completions", body, x_request_id=name)
        truth = json.loads(served.ask("GET", "/truth?clear=1")[2])
        sent = enumerate(truth["sent_ns"])
        late = [(at - truth["arrived_ns"]) / 1e6 - 2.0 - i * 1.0 for i, at in sent]

        assert (name, 25) == (truth["request_id"], len(late))
        assert min(late) > -0.05
        if min(late[1:]) < 1.0:
            break

    assert min(late[1:]) < 1.0
    assert b"" == served.ask("GET", "/truth")[2]


def test_a_tokenizer_is_asked_as_vllm_s_is(served: Served) -> None:
    """A prompt, or messages; there are no special tokens to be added."""
    bare = {"model": "m", "prompt": "a b", "add_special_tokens": False}
    chat = {"model": "m", "messages": [{"role": "user", "content": "a b"}]}
    answers = [json.loads(served.ask("POST", "/tokenize", body)[2]) for body in (bare, chat)]

    assert [[6907, 9681]] * 2 == [answer["tokens"] for answer in answers]


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
    assert status == locked.ask("GET", "/v1/models", None, None, **fields)[0]
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


def test_many_requests_at_once_hold_up_no_token(served: Served) -> None:
    """Only so many are read before tokens are looked at again."""
    socks = [served.client() for _ in range(40)]
    served.turn_until(lambda: len(served.simulator._links) > 40)
    for sock in socks:
        sock.send(request("GET", "/version", None))
    before = served.log.getvalue().count("/version")
    served.simulator._turn()

    assert 1 <= served.log.getvalue().count("/version") - before <= 16
