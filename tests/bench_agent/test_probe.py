"""Tests of the look at a server before the load: servers that lack this or that."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench_agent.load.plan import request_id
from bench_agent.probe import ProbeError, Server, probe
from tests.bench_agent.lacking import Engine, Prompts, load, whole
from tests.bench_agent.serving import requests, serving, url
from tests.bench_agent.tls_both_ends import make_papers, secured

Simulate = Callable[..., str]
NOTHING = {"metrics": "", "version": None, "tokenizer": False}


def look(engine: Engine, **changes: Any) -> Server:
    """What the probe finds."""
    with serving(engine) as port:
        return probe(load(url(port), **changes), lambda: True)


def refusal(engine: Engine, **changes: Any) -> str:
    """Why the probe finds that there can be no load."""
    with serving(engine) as port, pytest.raises(ProbeError) as caught:
        probe(load(url(port), **changes), lambda: True)
    return str(caught.value).replace(f"http://127.0.0.1:{port}", "URL")


def test_a_server_that_lacks_nothing_gets_four_requests() -> None:
    """The first is one of the load's, but short."""
    engine = Engine()
    found = look(engine)

    assert Server(max_model_len=4096, version="0.33.0") == found
    assert ["/v1/completions", "/metrics", "/tokenize", "/version"] == [
        path for path, _head, _data in engine.log
    ]
    assert [
        {
            "model": "m",
            "prompt": [5, 6, 7],
            "max_tokens": 8,
            "stream": True,
            "stream_options": {"include_usage": True},
            "ignore_eos": True,
        }
    ] == engine.sent
    assert f"X-Request-Id: {request_id('run/probe', 0)}".encode() in engine.log[0][1]


def test_the_load_on_a_server_that_lacks_nothing_stays_as_it_is() -> None:
    """Nothing is worked around."""
    given = load("http://h")

    assert given == Server().adapt(given)


def test_the_simulator_lacks_nothing(simulate: Simulate) -> None:
    """It says itself how long its requests may be."""
    found = probe(load(simulate(model="m")), lambda: True)

    assert ((), 32768, True) == (found.notes, found.max_model_len, found.metrics)


def test_lengths_of_the_extra_body_are_short_too() -> None:
    """A request for at least 64 tokens and at most 8 would be refused."""
    engine = Engine()
    look(engine, extra_body={"min_tokens": 64, "max_tokens": 64, "seed": 64})

    assert [(8, 8, 64)] == [
        (each["min_tokens"], each["max_tokens"], each["seed"]) for each in engine.sent
    ]


def test_a_short_request_is_not_made_longer() -> None:
    """One token stays one."""
    engine = Engine()
    look(engine, requests=Prompts([1], 1))

    assert [1] == [each["max_tokens"] for each in engine.sent]


def test_transformers_serve_is_named_and_worked_around() -> None:
    """No [DONE], 422 on ignore_eos, usage with the finish, no /metrics and no /tokenize."""
    engine = Engine(("ignore_eos",), 422, "always", done=False, **NOTHING)  # type: ignore[arg-type]  # mixed values
    given = load("http://h", api="chat", requests=Prompts("hello"))
    found = look(engine, api="chat", requests=Prompts("hello"))
    adapted = found.adapt(given)

    assert (True, False, False) == (found.usage, found.done, found.ignore_eos)
    assert (False, True, False) == (adapted.ignore_eos, adapted.usage, adapted.keep_texts)
    assert (
        (
            'The server refuses ignore_eos (422: {"error": "ignore_eos, no thanks, None"}): it is '
            "left out, and replies may be shorter than asked for."
        ),
        "There is no /tokenize: prompts of text cannot be cut to exact lengths.",
        "Streams end without [DONE]: the finish reason and the end of the reply stand for it.",
        (
            "There are no vLLM series at /metrics: queue, cache and preemptions are not seen, and "
            "tokens are not compared."
        ),
        "There is no /version: the engine's is not known.",
    ) == found.notes


def test_llama_cpp_is_named() -> None:
    """No usage and nobody to count: its requests will not count as good ones."""
    engine = Engine(usage="never", **NOTHING)  # type: ignore[arg-type]  # mixed values
    found = look(engine)
    adapted = found.adapt(load("http://h"))

    assert (False, False) == (found.usage, found.tokenize)
    assert (True, False) == (adapted.usage, adapted.keep_texts)
    assert (
        "Streams bear no token counts and there is no /tokenize: token figures cannot be had, "
        "and requests will count as failed with no_usage."
    ) == found.notes[0]


def test_without_usage_the_tokenizer_counts_what_was_kept() -> None:
    """The load keeps its replies, and does not ask for usage any more."""
    found = look(Engine(usage="never"))
    adapted = found.adapt(load("http://h"))

    assert (False, True) == (adapted.usage, adapted.keep_texts)
    assert 1 == len(found.notes)
    assert found.notes[0] == (
        "Streams bear no token counts: replies are kept, and the server's /tokenize counts "
        "their tokens."
    )


@pytest.mark.parametrize("status", [400, 422, 500, 501])
@pytest.mark.parametrize("part", ["ignore_eos", "stream_options", "token_ids", "request_id"])
def test_a_part_that_is_refused_is_found(part: str, status: int) -> None:
    """That one alone, and it is left out of the request that counts."""
    engine = Engine((part,), status, "always")
    found = look(engine)
    parts = {
        name: getattr(found, name)
        for name in ("ignore_eos", "stream_options", "token_ids", "request_id", "usage")
    }

    assert [part] == [name for name, has in parts.items() if not has]
    assert 1 == len(found.notes)
    assert f'({status}: {{"error": "{part}, no thanks' in found.notes[0]


def test_several_parts_that_are_refused_are_found() -> None:
    """Each with what the server said of it; what it takes stays in."""
    found = look(Engine(("request_id", "ignore_eos"), usage="always"))

    assert (False, True, True, False) == (
        found.ignore_eos,
        found.stream_options,
        found.token_ids,
        found.request_id,
    )
    assert ["ignore_eos, no thanks", "request_id, no thanks"] == [
        note.split('"')[3].rpartition(",")[0] for note in found.notes
    ]


def test_what_is_not_asked_for_is_not_left_out() -> None:
    """Chat has no token ids; a load may want no ignore_eos."""
    engine = Engine(("everything",))
    message = refusal(engine, api="chat", requests=Prompts("hello"), ignore_eos=False, usage=False)

    assert 2 == len(engine.sent)
    assert message.startswith("URL refuses the requests of this load (400: ")


def test_refused_in_the_stream_is_refused() -> None:
    """Some servers say 200 first."""
    error = 'data: {"error": {"message": "no"}}\n\ndata: [DONE]\n\n'
    engine = Engine(instead=whole(200, error, "text/event-stream"))

    assert "refuses the requests of this load (200: data: " in refusal(engine)
    assert 5 == len(engine.sent)


def test_a_prompt_that_is_too_long_is_no_refusal_of_token_ids() -> None:
    """A few of them are taken: so the load itself is wrong."""
    message = refusal(Engine(longest_prompt=30), requests=Prompts([1] * 50))

    assert 'URL refuses the requests of this load (400: {"error": "too long"}).' in message


def test_ignore_eos_that_is_not_heeded_is_told() -> None:
    """The reply ended by itself."""
    found = look(Engine(finish="stop"))

    assert not found.ignore_eos
    assert ("takes ignore_eos but does not heed it" in found.notes[0], 1) == (
        True,
        len(found.notes),
    )


def test_an_end_by_itself_is_no_lack_where_it_may_be() -> None:
    """Without ignore_eos."""
    assert look(Engine(finish="stop"), ignore_eos=False).ignore_eos


def test_streams_without_a_finish_reason_are_told() -> None:
    """They will not count as good ones."""
    assert (
        "Streams bear no finish reason: requests will count as failed with truncated.",
    ) == look(Engine(finish=None)).notes


@pytest.mark.parametrize(
    ("engine", "longest"),
    [
        (Engine(), 4096),
        (Engine(tokenizer=False), 4096),
        (Engine(tokenizer=False, models={"m": None}), None),
    ],
)
def test_the_longest_request_is_asked_for(engine: Engine, longest: int | None) -> None:
    """Of the tokenizer, else of the list of models."""
    assert longest == look(engine).max_model_len


def test_a_request_longer_than_the_model_takes_is_told() -> None:
    """Though the probe's own is short."""
    assert ("A request comes to 5003 tokens, but the model takes 4096.",) == look(
        Engine(), requests=Prompts([1, 2, 3], 5000)
    ).notes


def test_pages_that_are_something_else_are_lacking() -> None:
    """A 200 alone says nothing."""
    engine = Engine(metrics="<html>hello</html>", version='"', tokenizer=False, models=None)
    found = look(engine)

    assert (False, '"', False, None) == (
        found.metrics,
        found.version,
        found.tokenize,
        found.max_model_len,
    )


def test_pages_that_break_are_lacking() -> None:
    """The load needs none of them."""

    class Broken(Engine):
        def answer(self, path: str, head: bytes, data: Any) -> bytes:
            completes = "completions" in path
            return super().answer(path, head, data) if completes else b"garbage\r\n\r\n"

    found = look(Broken())

    assert (True, False, False, None) == (
        found.usage,
        found.metrics,
        found.tokenize,
        found.version,
    )


def test_the_key_is_sent() -> None:
    """With every request."""
    assert () == look(Engine(key="sesame"), api_key="sesame").notes


@pytest.mark.parametrize(
    ("key", "does", "remedy"),
    [
        ("wrong", "refuses the key", "Correct the file that api_key_file names."),
        (None, "asks for a key", "Name a file that holds it as api_key_file."),
    ],
)
def test_a_wrong_key_is_told(key: str | None, does: str, remedy: str) -> None:
    """Another sentence than for none."""
    expected = f'URL {does} (401: {{"error": "who are you?"}}). {remedy}'

    assert expected == refusal(Engine(key="sesame"), api_key=key)


def test_the_key_is_never_repeated() -> None:
    """Though the server may do so."""
    engine = Engine(("everything",), key="sesame")

    assert "no thanks, [REDACTED]" in refusal(engine, api_key="sesame")


def test_an_unknown_model_is_told_with_those_there_are() -> None:
    """Whatever the status is."""
    expected = "URL has no model x ({}), it has m, n. Name one."
    models: dict[str, int | None] = {"m": 1, "n": None}
    engines = [Engine(models=models), Engine(("everything",), models=models)]

    assert [
        expected.format('404: {"error": "no such model"}'),
        expected.format('400: {"error": "everything, no thanks, None"}'),
    ] == [refusal(engine, model="x") for engine in engines]


@pytest.mark.parametrize("models", [None, {"m": 1}, {}])
def test_a_wrong_path_is_told(models: dict[str, int | None] | None) -> None:
    """With the path that was asked for."""
    engine = Engine(models=models, instead=whole(404, {"detail": "Not Found"}))

    assert (
        'URL has nothing at /v1/completions (404: {"detail": "Not Found"}). '
        "Try the other api, and base_urls without /v1."
    ) == refusal(engine)


@pytest.mark.parametrize(
    ("reply", "sentence"),
    [
        (whole(503, "loading"), "answers requests with 503: loading."),
        (whole(503, ""), "answers requests with 503. See"),
        (
            whole(307, "", more="location: http://127.0.0.1:1/\r\n"),
            "answers requests with 307: http://127.0.0.1:1/.",
        ),
        (whole(200, {"choices": [{"text": "a"}]}), "answers with no event stream (200: {"),
        (whole(200, "<html>", "text/html"), "answers with no event stream (200: <html>)"),
        (whole(200, ""), "answers with no event stream (200)"),
        (whole(200, "data: [DONE]\n\n"), "ends its stream without a token (200: data: [DONE])"),
        (whole(200, "data: {\n\ndata: 1\n\n"), "ends its stream without a token"),
        (whole(200, 'data: {"choices": [1]}\n\n'), "ends its stream without a token"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\ndata", "closed in the middle"),
    ],
)
def test_a_reply_that_is_no_stream_of_tokens_is_told(reply: bytes, sentence: str) -> None:
    """With its status and how it begins."""

    class Curt(Engine):
        def __call__(self, sock: socket.socket) -> None:
            for _request in requests(sock):
                sock.sendall(reply)
                return

    assert sentence in refusal(Curt())


def test_nobody_there_is_told() -> None:
    """With what to do."""
    with pytest.raises(ProbeError, match=r"refused\. Start the server, or correct .*base_urls\.$"):
        probe(load("http://127.0.0.1:1"), lambda: True)


def test_the_tick_ends_the_probe() -> None:
    """Wherever it is: at a page, too."""
    asked = threading.Event()

    class Silent(Engine):
        def answer(self, path: str, head: bytes, data: Any) -> bytes:
            if path != "/metrics":
                return super().answer(path, head, data)
            asked.set()
            return b""

    with serving(Silent()) as port, pytest.raises(ProbeError, match="the run ends"):
        probe(load(url(port)), lambda: not asked.is_set())


def test_a_server_behind_tls_is_probed(tmp_path: Path) -> None:
    """As the load will see it."""
    papers = make_papers(tmp_path)
    with serving(secured(papers.server(), Engine())) as port:
        base = url(port, "https")
        found = probe(load(base, ca_file=str(papers.authority)), lambda: True)
        with pytest.raises(ProbeError, match="not trusted"):
            probe(load(base), lambda: True)

    assert () == found.notes
