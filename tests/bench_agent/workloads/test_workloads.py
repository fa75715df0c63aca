"""What every workload keeps to, found by its name in the folder."""

from __future__ import annotations

import hashlib
import importlib
import json
from dataclasses import astuple
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from bench_agent import workloads
from bench_agent.client import Client
from bench_agent.protocol import Workload
from bench_agent.tokenizer import ServerTokenizer
from bench_agent.workloads import WorkloadError, cache_hit_share, check, requests
from tests.bench_agent.conftest import Simulate
from tests.bench_agent.workloads.counting import Counting

FOLDER = Path(workloads.__file__).parent
NAMES = sorted(path.stem for path in FOLDER.glob("[!_]*.py"))
APIS = ("completions", "chat")


def own_test(name: str) -> Any:
    """The test module of a workload; it has a sample of it, and the hash of its requests."""
    return importlib.import_module(f"tests.bench_agent.workloads.test_{name}")


@pytest.fixture(params=NAMES)
def shape(request: pytest.FixtureRequest, tmp_path: Path) -> Workload:
    """Each workload, as its own test makes it."""
    made: Workload = own_test(request.param).sample(tmp_path)
    assert made.name == request.param
    return made


def prompts(shape: Workload, api: str, stream: str, tokens: Any = None, count: int = 3) -> set[str]:
    """The first prompts of a stream."""
    make = requests(shape, api, stream, tokens)
    return {str(make(index).prompt) for index in range(count)}


def test_there_are_workloads() -> None:
    """The tests here look at those that are promised."""
    assert {"random", "sonnet", "prompts", "sharegpt", "prefix_repetition", "trace"} <= set(NAMES)


def test_the_requests_stay_the_same(shape: Workload) -> None:
    """On every host, in every Python and every release, with a tokenizer and without.

    Whoever changes a hash changes what is measured: it belongs into the changelog.
    """
    made = [
        astuple(make(index))
        for api, stream in product(APIS, ("00-c4", "warm-up"))
        for make in (requests(shape, api, stream, t) for t in (None, Counting()))
        for index in range(3)
    ]

    found = hashlib.sha256(json.dumps(made).encode()).hexdigest()[:16]
    assert own_test(shape.name).GOLDEN == found


@pytest.mark.parametrize("api", APIS)
def test_a_request_depends_on_its_index_alone(shape: Workload, api: str) -> None:
    """Whichever worker makes it, in whichever order, and more than once."""
    make = requests(shape, api, "p", Counting())
    forwards = [make(index) for index in range(3)]
    again = requests(shape, api, "p", Counting())

    assert forwards == [again(index) for index in (2, 1, 0)][::-1]
    assert forwards == [make(index) for index in range(3)]


@pytest.mark.parametrize("api", APIS)
def test_no_prompt_comes_in_two_streams(shape: Workload, api: str) -> None:
    """But for those that are given: what was sent before would be in the prefix cache."""
    streams = [prompts(shape, api, stream, Counting()) for stream in ("warm-up", "00-c4")]

    if shape.name in ("prompts", "sharegpt"):
        assert cache_hit_share(shape) is None
    else:
        assert not streams[0] & streams[1]


@pytest.mark.parametrize("api", APIS)
def test_lengths_are_what_the_tokenizer_counts(shape: Workload, api: str) -> None:
    """Where a length is said, and it is said of all but given prompts."""
    tokens = Counting()
    make = requests(shape, api, "p", tokens)
    for request in map(make, range(3)):
        said = None if shape.name == "prompts" else tokens.count(request)
        assert said == request.prompt_tokens
        assert request.max_tokens > 0


def test_no_more_is_shared_than_is_said(shape: Workload) -> None:
    """Prompts have that share of their tokens in common, and none has more."""
    share = cache_hit_share(shape)
    if share is None:
        return
    make = requests(shape, "completions", "p", Counting())
    ids: list[Any] = [make(index).prompt for index in range(make.count or 6)]
    common = max(_same(a, b) for a, b in product(ids, ids) if a is not b)
    total = sum(map(len, ids)) / len(ids)

    assert share == 0 or common >= 20
    assert common - 2 <= share * total * 1.5  # lengths vary by half


def _same(one: list[int], other: list[int]) -> int:
    pairs = zip(one, other, strict=False)
    return next((at for at, (a, b) in enumerate(pairs) if a != b), len(one))


def test_the_chat_template_is_shared_too(shape: Workload) -> None:
    """A template as long as the prompt is all of it; an unknown one is not judged."""
    share = cache_hit_share(shape, 10**6)

    assert share in (None, 1.0)
    assert cache_hit_share(shape, None) is None


@pytest.mark.parametrize("api", APIS)
def test_a_check_needs_no_server(shape: Workload, api: str) -> None:
    """What is right passes, and an unknown option does not."""
    wrong = Workload(shape.name, options={**shape.options, "lenght": 1})

    check(shape, api)
    with pytest.raises(WorkloadError, match=r"workload\.options\.lenght: unknown option \(known"):
        check(wrong, api)
    with pytest.raises(WorkloadError, match=r"workload\.options\.lenght"):
        requests(wrong, api, "p", Counting())


@pytest.mark.parametrize("name", ["nothing_here", "../random", "random.x", "", "__init__"])
def test_an_unknown_workload_is_named(name: str) -> None:
    """It is found by its module's name, and by nothing else."""
    for ask in (lambda s: requests(s, "chat", "p"), lambda s: check(s, "chat"), cache_hit_share):
        with pytest.raises(WorkloadError, match=r"workload\.name"):
            ask(Workload(name))


def test_a_module_that_does_not_import_is_no_unknown_workload(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What it lacks is said, not that it is not there."""
    (tmp_path / "broken.py").write_text("import nothing_of_that_name\n")
    monkeypatch.setattr(workloads, "__path__", [str(tmp_path)])

    with pytest.raises(ModuleNotFoundError, match="nothing_of_that_name"):
        requests(Workload("broken"), "chat", "p")


@pytest.mark.integration
@pytest.mark.parametrize("api", APIS)
def test_the_server_counts_the_same(shape: Workload, api: str, simulate: Simulate) -> None:
    """The usage of a real request is the number of tokens that the workload said."""
    client = Client(simulate(model="m", ttft_ms=0.0, itl_ms=0.0))
    make = requests(shape, api, "p", ServerTokenizer(client, "m"))
    for made in map(make, range(2)):
        body: dict[str, Any] = {"model": "m", "prompt": made.prompt, "max_tokens": 2}
        if api == "chat":
            body["messages"] = [{"role": "user", "content": body.pop("prompt")}]
        path = "/v1/chat/completions" if api == "chat" else "/v1/completions"
        status, reply = client.request("POST", path, body)
        assert status == 200
        assert made.prompt_tokens in (json.loads(reply)["usage"]["prompt_tokens"], None)
        assert (made.prompt_tokens is None) == (shape.name == "prompts")
    client.close()


class Mute(Counting):
    """Counts no word as one token."""

    def count_chat(self, text: str) -> int:
        return 2 * super().count_chat(text)


def test_a_tokenizer_without_use_is_the_workloads_trouble() -> None:
    """One kind of error for all that callers do with it."""
    with pytest.raises(WorkloadError, match="not one token each to this server"):
        requests(Workload(input_len=60), "chat", "p", Mute())
