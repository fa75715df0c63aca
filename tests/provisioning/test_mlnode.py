"""Nodes that are only URLs: brought up, waited for, explained, told to stop."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from provisioning import bench, mlnode, mlnode_wait, recipe, serve
from provisioning import site as sites
from provisioning.errors import DynoError, LaunchError, UsageError
from provisioning.recipe_schema import Recipe
from provisioning.rundir import RunDir
from provisioning.site import Site
from stacks.outputs import EndpointOutput
from tests.mlnode_standin import Faults, Standin, running
from tests.provisioning.nodes import Silent, site_of, small

MODEL = "Qwen/Qwen3-32B-FP8"
RUN = "20261121T120000Z-mlnode-layouts-beef"
MANDATORY = ["--kv-cache-dtype", "fp8", "--quantization", "fp8"]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A look each 50 ms; runs of this machine lie in the test's folder; no key."""
    monkeypatch.setattr(mlnode_wait, "POLL_S", 0.05)
    monkeypatch.setenv("LLM_DYNO_HOME", str(tmp_path / "home"))
    for name in ("VLLM_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def node(request: pytest.FixtureRequest) -> Iterator[Callable[..., Standin]]:
    """Makes nodes with faults; they are gone after the test."""
    with ExitStack() as nodes:
        yield lambda key=None, **faults: nodes.enter_context(running(Faults(**faults), key=key))


def up(site: Site, of: Recipe | None = None) -> tuple[Any, dict[str, Any]]:
    """Bring the nodes up, as a run would."""
    return mlnode.serve(site, site.host(), of or small(), RUN, Silent())


def failure(site: Site, *changes: str) -> LaunchError:
    """What is said when they do not come up; they are told to stop, as a run would do."""
    with pytest.raises(LaunchError) as caught:
        up(site, small(*changes))
    with suppress(DynoError):
        mlnode.release(site.host(), RUN)
    return caught.value


@pytest.mark.integration
def test_a_node_serves_what_the_recipe_says(node: Callable[..., Standin]) -> None:
    """It is asked for model, dtype and arguments word by word; it serves, and is told to stop."""
    one = node(load_s=0.5)
    site = site_of(one)

    target, about = up(site)
    serving = one.state
    mlnode.release(site.host(), RUN)

    (body,) = one.asked
    assert (MODEL, "float16") == (body["model"], body["dtype"])
    layout = ["--tensor-parallel-size", "8", "--pipeline-parallel-size", "1"]
    assert [*layout, *MANDATORY] == body["additional_args"]
    assert ((one.inference_url,), MODEL, None) == (
        target.base_urls,
        target.model,
        target.api_key_file,
    )
    assert body == about["engine"]["request"]
    assert about["ready"]["phases"].keys() == {"start", "weights", "serve"}
    assert about["ready"]["phases"]["weights"] > 0.3
    assert not [check for check in about["smoke"]["checks"] if not check["ok"]]
    assert ("INFERENCE", "STOPPED") == (serving, one.state)


@pytest.mark.integration
def test_several_nodes_come_up_at_the_same_time(node: Callable[..., Standin]) -> None:
    """Loading overlaps, and the load goes to all of them."""
    nodes = [node(load_s=1.5), node(load_s=1.5)]
    site = site_of(*nodes)

    target, about = up(site)
    mlnode.release(site.host(), RUN)

    assert tuple(one.inference_url for one in nodes) == target.base_urls
    assert about["ready"]["seconds"] < 8
    assert ["STOPPED"] * 2 == [one.state for one in nodes]
    loading = [one["ready"]["phases"]["weights"] for one in about["nodes"]]
    assert sum(loading) > about["ready"]["seconds"] * 0.7


@pytest.mark.integration
def test_one_that_fails_ends_the_wait_for_the_others(node: Callable[..., Standin]) -> None:
    """Which it was is said; the other one is stopped as well."""
    good, bad = node(), node(refusal="No space left on device")
    site = site_of(good, bad)

    error = failure(site)

    assert f"vLLM did not start on the node 2 ({bad.management_url})" in error.what
    assert "No space left on device" in error.what
    assert "STOPPED" == good.state


@pytest.mark.integration
@pytest.mark.parametrize("state", ["POW", "TRAIN", "SOMETHING_NEW"])
def test_a_node_at_work_for_its_network_is_left_alone(
    node: Callable[..., Standin], state: str
) -> None:
    """Nothing is posted to it."""
    one = node(state=state)

    error = failure(site_of(one))

    assert f"at work for its network (state {state})" in error.what
    assert "Wait until it is free" in error.advice
    assert {"GET /api/v1/state"} == set(one.calls)


@pytest.mark.integration
def test_a_node_that_serves_is_not_taken_over(node: Callable[..., Standin]) -> None:
    """It would drop what it serves without a word."""
    one = node()
    site = site_of(one)
    up(site)

    with pytest.raises(LaunchError) as caught:
        mlnode.serve(site, site.host(), small(), f"{RUN}2", Silent())

    assert "serves already" in caught.value.what
    assert f"--url {one.inference_url}" in caught.value.advice
    assert 1 == len(one.asked)


ANSWERS = {
    "a proxy alone": (502, "bad gateway", "answers 502", "container runs"),
    "another server": (
        404,
        '{"detail": "Not Found"}',
        "404 to /api/v1/state: Not",
        "management_url",
    ),
    "its own trouble": (500, "Internal Server Error", "500 to /api/v1/state: Internal", "log"),
    "a page": (200, "<html>hello</html>", "answers no JSON: <html>hello", "endpoints"),
    "a list": (200, "[1]", "answers no object: [1]", "endpoints"),
    "no state": (200, '{"status": "fine"}', 'tells no state: {"status": "fine"}', "endpoints"),
}


@pytest.mark.integration
@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_that_is_no_nodes_is_explained(node: Callable[..., Standin], name: str) -> None:
    """One sentence on what came, one on what to do."""
    status, body, what, advice = ANSWERS[name]

    error = failure(site_of(node(status=status, says=body)))

    assert what in error.what
    assert advice in error.advice
    assert "serve" == error.phase


def test_a_node_that_is_not_there_is_explained() -> None:
    """The connection is refused."""
    error = failure(site_of(EndpointOutput("http://127.0.0.1:9", "http://127.0.0.1:9")))

    assert error.what.startswith("http://127.0.0.1:9/api/v1/state does not answer: ")
    assert "ports" in error.advice


@pytest.mark.integration
def test_a_body_that_the_node_refuses_is_explained(
    node: Callable[..., Standin], monkeypatch: pytest.MonkeyPatch
) -> None:
    """422: each wrong key with its path."""
    one = node()
    monkeypatch.setattr(
        mlnode.engine, "request", lambda _: {"model": MODEL, "additional_args": [8]}
    )

    error = failure(site_of(one))

    assert "422" in error.what
    assert "body.dtype: Field required; body.additional_args.0: Input should" in error.what


@pytest.mark.integration
def test_vllm_that_dies_while_it_loads_is_told_by_the_node(node: Callable[..., Standin]) -> None:
    """The state falls back to STOPPED; the node's own words are waited for."""
    error = failure(site_of(node(dies=True)))

    assert "vLLM process exited prematurely" in error.what
    assert "log of the node's container" in error.advice


@pytest.mark.integration
@pytest.mark.parametrize(
    ("changes", "what", "advice"),
    [
        (
            [f"timeouts.phases.{p}_s=0.1" for p in ("weights", "compile", "kv_cache", "graphs")],
            "the phase 'weights' took longer than 0 s, its state is INFERENCE",
            "timeouts.phases.weights_s",
        ),
        (["timeouts.ready_s=1.0"], "was not ready within 1 s", "timeouts.ready_s"),
    ],
)
def test_a_start_that_hangs_is_given_up(
    node: Callable[..., Standin], changes: list[str], what: str, advice: str
) -> None:
    """At its phase's deadline, or at that of all; the phase is named."""
    one = node(load_s=4)
    began = time.monotonic()

    with pytest.raises(mlnode_wait.NotReadyError) as caught:
        up(site_of(one), small(*changes))

    assert what in caught.value.what
    assert advice in caught.value.advice
    assert "weights" == caught.value.phase_reached
    assert time.monotonic() - began < 3.5


@pytest.mark.integration
def test_a_node_that_never_says_inference_is_given_up(
    node: Callable[..., Standin], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though it says that all is well."""
    one = node()
    monkeypatch.setattr(Standin, "state", "STOPPED")

    error = failure(site_of(one), "timeouts.phases.start_s=1.0")

    assert "the phase 'start' took longer than 1 s, its state is STOPPED" in error.what


@pytest.mark.integration
def test_an_answer_that_a_proxy_gave_up_on_is_not_missed(node: Callable[..., Standin]) -> None:
    """504 for the request; the node serves all the same, which its state tells."""
    one = node(answer_lost=True)
    site = site_of(one)

    target, about = up(site)
    mlnode.release(site.host(), RUN)

    assert MODEL == target.model
    assert {"start", "weights"} == about["ready"]["phases"].keys()


@pytest.mark.integration
def test_a_node_that_serves_another_model_is_explained(node: Callable[..., Standin]) -> None:
    """The two URLs of an endpoint may be of two nodes."""
    error = failure(site_of(node(other_model="other/model")))

    assert f"serves other/model, not {MODEL}" in error.what


@pytest.mark.integration
def test_a_key_reaches_the_node_and_stands_in_a_file_of_its_own(
    node: Callable[..., Standin], monkeypatch: pytest.MonkeyPatch
) -> None:
    """0600, below the run's folder; gone when the run is released."""
    monkeypatch.setenv("VLLM_API_KEY", "marker-key-0123456789")
    site = site_of(node(key="marker-key-0123456789"))

    target, about = up(site)
    key_file = Path(target.api_key_file)
    mode = key_file.stat().st_mode & 0o777
    serve.release(site, RUN)

    assert (0o600, False) == (mode, key_file.exists())
    assert "marker" not in json.dumps(about)


@pytest.mark.integration
def test_a_node_that_wants_a_key_says_so(node: Callable[..., Standin]) -> None:
    """401 of what it serves."""
    error = failure(site_of(node(key="other")))

    assert "401" in error.what
    assert "$VLLM_API_KEY" in error.advice


@pytest.mark.integration
def test_a_node_that_does_not_stop_is_told(
    node: Callable[..., Standin], monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it starts vLLM it hears nothing; it may go on serving."""
    one = node(load_s=2.5)
    site = site_of(one)
    with pytest.raises(LaunchError):
        up(site, small("timeouts.ready_s=0.5"))

    with pytest.raises(LaunchError, match="was not seen to stop") as caught:
        mlnode.release(site.host(), RUN, stop_s=0.2)

    assert "fab stop" in caught.value.advice


@pytest.mark.integration
def test_a_node_that_is_given_up_before_it_began_is_told_to_stop(
    node: Callable[..., Standin],
) -> None:
    """Our request may still be on its way while it says STOPPED; then it would serve for nobody."""
    one = node(begins_s=2.0)
    site = site_of(one)
    with pytest.raises(LaunchError, match="'start' took longer"):
        up(site, small("timeouts.phases.start_s=0.5"))
    before = one.state

    mlnode.release(site.host(), RUN)

    assert ("STOPPED", "STOPPED") == (before, one.state)
    assert "POST /api/v1/inference/down" == one.calls[-1]
    assert 1 == len(one.asked)


def test_a_stack_without_nodes_is_refused() -> None:
    """Before anything begins, with what to do."""
    with pytest.raises(UsageError, match="the server at a URL has none"):
        mlnode.check(sites.of_url("http://127.0.0.1:9"), small())
    with pytest.raises(UsageError, match="has no management_url"):
        mlnode.check(site_of(EndpointOutput("http://127.0.0.1:9")), small())


def test_other_engines_are_not_asked_about() -> None:
    """They know nothing of nodes."""
    mlnode.check(sites.of_url("http://127.0.0.1:9"), recipe.load("rehearsal"))


@pytest.mark.integration
@pytest.mark.parametrize("count", [1, 2])
def test_a_run_on_nodes_is_whole(node: Callable[..., Standin], tmp_path: Path, count: int) -> None:
    """Result verified, load on every node, all of them stopped at the end."""
    nodes = [node() for _ in range(count)]

    run: RunDir = bench.bench(site_of(*nodes), small(), tmp_path / "results", Silent())

    assert run.whole
    manifest = json.loads((run.path / "manifest.json").read_text())
    summary = json.loads((run.path / "summary.json").read_text())
    assert [8] == [point["completed"] for point in summary["points"]]
    assert "mlnode" == manifest["context"]["engine"]["engine"]
    assert count == len(manifest["context"]["nodes"])
    assert all(one.served >= 8 // count for one in nodes)
    assert ["STOPPED"] * count == [one.state for one in nodes]
    assert ["POST /api/v1/inference/down"] * count == [one.calls[-1] for one in nodes]


@pytest.mark.integration
def test_a_run_that_could_not_begin_leaves_no_node_serving(
    node: Callable[..., Standin], tmp_path: Path
) -> None:
    """The one that came up is told to stop when another did not."""
    good, bad = node(), node(refusal="heads not divisible")

    with pytest.raises(LaunchError, match="heads not divisible"):
        bench.bench(site_of(good, bad), small(), tmp_path / "results", Silent())

    assert "STOPPED" == good.state
    (run,) = (tmp_path / "results" / "n").glob("*Z-*")
    assert "failed" == json.loads((run / "home" / "run.json").read_text())["state"]


@pytest.mark.integration
def test_a_node_that_is_gone_while_it_loads_is_given_up(
    node: Callable[..., Standin], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends itself when vLLM has died; one silent moment is no end."""
    one = node(load_s=2)
    monkeypatch.setattr(mlnode_wait, "SILENT_S", 0.3)
    asked, state = [], mlnode_wait.Node.state

    def silent(self: mlnode_wait.Node) -> str:
        asked.append(1)
        if len(asked) == 4 or len(asked) > 8:
            raise mlnode_wait.SilentError("it does not answer")
        return state(self)

    monkeypatch.setattr(mlnode_wait.Node, "state", silent)

    with pytest.raises(mlnode_wait.NotReadyError, match="is gone: it does not answer") as caught:
        up(site_of(one))

    assert len(asked) > 9
    assert "exited" == caught.value.end
