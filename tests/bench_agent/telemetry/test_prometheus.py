"""Tests of reading /metrics."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench_agent.protocol import Target
from bench_agent.telemetry import prometheus
from bench_agent.telemetry.prometheus import Server, parse, together

#: As vLLM 0.33 writes it, with two engines behind one server.
PAGE = b"""\
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="a/b"} 3.0
vllm:num_requests_running{engine="1",model_name="a/b"} 2.0 1700000000
vllm:num_requests_waiting{engine="0",model_name="a } b"} 7.0
vllm:num_requests_waiting_by_reason{engine="0",model_name="a/b",reason="capacity"} 7.0
vllm:kv_cache_usage_perc{engine="0",model_name="a/b"} 0.25
vllm:kv_cache_usage_perc{engine="1",model_name="a/b"} 0.75
vllm:num_preemptions_total{engine="0",model_name="a/b"} 1.0
vllm:num_preemptions_created{engine="0",model_name="a/b"} 1.7e+09
vllm:prefix_cache_queries_total{engine="0",model_name="a/b"} 1.2e+06
vllm:prefix_cache_hits_total{engine="0",model_name="a/b"} 64.0
vllm:request_success_total{engine="0",finished_reason="stop",model_name="a/b"} 4.0
vllm:request_success_total{engine="1",finished_reason="stop",model_name="a/b"} 1.0
vllm:request_success_total{engine="0",finished_reason="length",model_name="a/b"} 9.0
vllm:time_to_first_token_seconds_bucket{engine="0",le="0.001",model_name="a/b"} 0.0
vllm:time_to_first_token_seconds_count{engine="0",model_name="a/b"} 10.0
vllm:time_to_first_token_seconds_sum{engine="0",model_name="a/b"} 0.5
vllm:spec_decode_num_accepted_tokens_per_pos_total{engine="0",position="1"} 5.0
vllm:generation_tokens_total{engine="0",model_name="a/b"} NaN
vllm:prompt_tokens_total{engine="0",model_name="a/b"} nonsense
vllm:prompt_tokens_total
vllm:iteration_tokens_total_sum{engine="0",model_name="a/b"} 99.0
process_start_time_seconds 1.7e+09
"""


class Instance:
    """A server whose page is what it is told; counts connections and requests."""

    def __init__(self) -> None:
        self.page: bytes | None = b""
        self.connections = self.requests = 0
        instance = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                instance.connections += 1
                super().setup()

            def do_GET(self) -> None:
                instance.requests += 1
                page = instance.page
                self.send_response(404 if page is None or self.path != "/metrics" else 200)
                self.send_header("Content-Length", str(len(page or b"")))
                self.end_headers()
                self.wfile.write(page or b"")

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def stop(self) -> None:
        """No connection any more."""
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def instance() -> Iterator[Callable[[], Instance]]:
    """Start one."""
    started: list[Instance] = []

    def start() -> Instance:
        started.append(Instance())
        return started[-1]

    yield start
    for each in started:
        each.stop()


@pytest.fixture
def server() -> Iterator[Callable[..., Server]]:
    """One over these instances; its connections are closed in the end."""
    made: list[Server] = []

    def make(*instances: Instance) -> Server:
        made.append(Server(Target(tuple(i.url for i in instances), "m"), None))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_vllms_names_are_read() -> None:
    """Engines are summed, the KV cache is that of the fullest; what is no number is left out."""
    assert {
        "running": 5.0, "waiting": 7.0, "kv_cache_usage": 0.75, "preemptions": 1.0,
        "prefix_cache_queries": 1.2e6, "prefix_cache_hits": 64.0,
        "requests.stop": 5.0, "requests.length": 9.0, "ttft_count": 10.0, "ttft_sum": 0.5,
        "spec_decode.per_pos.1": 5.0,
    } == parse(PAGE)  # fmt: skip


def test_a_name_without_labels_is_read() -> None:
    """The format allows it; a reason is unknown then."""
    assert {"waiting": 7.0, "requests.unknown": 2.0} == parse(
        b"vllm:num_requests_waiting 7\nvllm:request_success_total 2"
    )


@given(st.one_of(st.binary(), st.text().map(lambda t: b"vllm:num_requests_running" + t.encode())))
def test_no_page_does_harm(page: bytes) -> None:
    """Whatever is in it."""
    assert {"running"} >= parse(page).keys()


@given(
    st.dictionaries(
        st.sampled_from(["running", "requests.stop", "kv_cache_usage"]), st.integers(0, 9)
    )
)
def test_one_instance_is_all_of_itself(page: dict[str, float]) -> None:
    """Two of them are twice as much, but no fuller."""
    page = {key: float(value) for key, value in page.items()}
    twice = {key: value if key == "kv_cache_usage" else 2 * value for key, value in page.items()}

    assert (page, twice) == (together([page]), together([page, page]))


def test_instances_are_summed(
    instance: Callable[[], Instance], server: Callable[..., Server]
) -> None:
    """Over one connection each, however often they are asked."""
    both = [instance(), instance()]
    for each in both:
        each.page = PAGE
    watched = server(*both)
    pages = [watched.scrape() for _ in range(3)]

    assert [10.0, 0.75, None] == [
        (pages[-1] or {}).get(key) for key in ("running", "kv_cache_usage", "restarted")
    ]
    assert [(1, 3), (1, 3)] == [(each.connections, each.requests) for each in both]


def test_one_that_is_missing_hides_all(
    instance: Callable[[], Instance], server: Callable[..., Server]
) -> None:
    """Half a sum would look like a fall."""
    both = [instance(), instance()]
    both[0].page, both[1].page = PAGE, None

    assert server(*both).scrape() is None


@pytest.mark.parametrize("page", [None, b"", b"<html>Hello</html>"])
def test_a_server_without_metrics_is_left_alone(
    instance: Callable[[], Instance], server: Callable[..., Server], page: bytes | None
) -> None:
    """For a while, unless it is urgent."""
    one = instance()
    one.page = page
    watched = server(one)
    refused = [watched.scrape(), watched.scrape()]
    one.page = PAGE
    urgent = watched.scrape(urgent=True)
    watched._after = 0.0

    assert ([None, None], True) == (refused, urgent is not None)
    assert (True, 3) == (watched.scrape() is not None, one.requests)


def test_nobody_there_is_left_alone(
    instance: Callable[[], Instance], server: Callable[..., Server]
) -> None:
    """As one without metrics."""
    one = instance()
    one.page = PAGE
    watched = server(one)
    one.stop()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(one, "stop", lambda: None)
        nothing = watched.scrape()

    assert (None, True) == (nothing, watched._after > 0)


def test_a_slow_server_is_asked_again(faulty: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is there, but busy."""
    monkeypatch.setattr(prometheus, "TIMEOUT_S", 0.1)
    watched = Server(Target((f"{faulty}/silent",), "m"), None)

    assert (None, 0.0) == (watched.scrape(), watched._after)
    watched.close()


def test_a_restart_is_noticed_once(
    instance: Callable[[], Instance], server: Callable[..., Server]
) -> None:
    """Of one instance, even if the sum has grown; gauges may fall."""
    both = [instance(), instance()]
    watched = server(*both)
    told = []
    for first, second, running in ((10, 10, 5), (10, 20, 0), (5, 90, 0), (5, 90, 0)):
        for each, tokens in zip(both, (first, second), strict=True):
            gauge = f"vllm:num_requests_running {running}"
            each.page = f"{gauge}\nvllm:generation_tokens_total {tokens}".encode()
        told.append((watched.scrape() or {}).get("restarted"))

    assert [None, None, True, None] == told
