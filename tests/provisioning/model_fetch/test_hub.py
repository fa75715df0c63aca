"""The downloader against the stand-in hub, with the real library."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub.utils import disable_progress_bars  # type: ignore[attr-defined] # lazily

from provisioning import versions
from provisioning.model_fetch import hub as fetching
from provisioning.model_fetch.failure import Failure
from provisioning.model_fetch.plan import Plan
from tests.provisioning import hub as stand_in
from tests.provisioning.hub import Hub

WEIGHTS = "model-00001-of-00001.safetensors"
LARGE = {WEIGHTS: 12_000_000, "pytorch_model.bin": 1_500_000, "original/params.pth": 1_500_000}
SMALL = {"README.md", "config.json", "tokenizer/vocab.txt"}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pauses between tries, nothing drawn."""
    monkeypatch.setattr(fetching, "PAUSE_S", 0.0)
    disable_progress_bars()


@pytest.fixture
def hub() -> Iterator[Hub]:
    models = {
        "o/m": stand_in.model(LARGE),
        "o/pickled": stand_in.model({"pytorch_model.bin": 1_500_000}),
        "o/gated": stand_in.model(LARGE, gated=True, readers=("good",)),
        "o/private": stand_in.model(private=True, readers=("good",)),
    }
    with stand_in.serving(models) as hub:
        hub.tokens = ("good", "poor")
        yield hub


@pytest.fixture
def task(hub: Hub, tmp_path: Path) -> dict[str, Any]:
    return {"name": "o/m", "revision": None, "hub": hub.url, "home": str(tmp_path)}


def failed(task: dict[str, Any], token: str | None = None) -> str:
    with pytest.raises(Failure) as caught:
        fetching.fetch(task, token, [])
    return caught.value.kind


def test_the_library_is_the_one_that_hosts_get() -> None:
    """What is tried here is what runs there."""
    assert f"huggingface_hub=={huggingface_hub.__version__}" in versions.HUB_TOOL


def test_a_model_is_brought(hub: Hub, task: dict[str, Any], tmp_path: Path) -> None:
    """Its files, a branch that names the commit, and a receipt of every size."""
    made: list[Plan] = []
    done = fetching.fetch(task, None, made)
    (plan,) = made

    commit = hub.models["o/m"].commit
    assert (commit, 4, 12_000_056) == (done["commit"], done["files"], done["bytes"])
    assert hub.models["o/m"].files[WEIGHTS].data == plan.snapshot(WEIGHTS).read_bytes()
    assert commit == (plan.folder / "refs" / "main").read_text()
    receipt = json.loads((tmp_path / "dyno" / "models--o--m" / f"{commit}.json").read_text())
    assert {WEIGHTS, *SMALL} == set(receipt["files"])
    assert plan.total == plan.done() == done["bytes"]


def test_the_same_weights_in_other_formats_are_left_out(hub: Hub, task: dict[str, Any]) -> None:
    """Where there are safetensors; else they are all that there is."""
    fetching.fetch(task, None, [])
    pickled = fetching.fetch({**task, "name": "o/pickled"}, None, [])
    asked = {seen.path.partition("/resolve/")[2][41:] for seen in hub.asked("/o/m/", "HEAD")}
    assert {WEIGHTS, *SMALL} == asked
    assert (4, 1_500_056) == (pickled["files"], pickled["bytes"])


def test_a_commit_needs_no_branch(hub: Hub, task: dict[str, Any], tmp_path: Path) -> None:
    """It is its own name."""
    commit = hub.models["o/m"].commit
    assert commit == fetching.fetch({**task, "revision": commit}, None, [])["commit"]
    assert not (tmp_path / "hub" / "models--o--m" / "refs").exists()


def test_a_cut_download_goes_on_where_it_was(hub: Hub, task: dict[str, Any]) -> None:
    """By itself, and with no byte of what is on disk asked for again."""
    hub.cuts, hub.cut_after = 1, 11_000_000
    done = fetching.fetch(task, None, [])
    ranges = [seen.range for seen in hub.asked("/cdn/")]
    assert [None, f"bytes={done['resumed']}-"] == ranges
    assert 10_000_000 < done["resumed"] < 11_000_000


def test_a_hub_that_always_cuts_is_given_up(hub: Hub, task: dict[str, Any]) -> None:
    """After tries that brought nothing."""
    hub.cuts, hub.cut_after = 99, 1000
    assert "egress" == failed(task)
    assert fetching.TRIES == len(hub.asked("/cdn/"))


def test_what_was_gone_on_with_wrongly_is_fetched_anew(
    hub: Hub, task: dict[str, Any], tmp_path: Path
) -> None:
    """A partial file with other bytes in it gives a file of the right size: its hash tells."""
    data = hub.models["o/m"].files[WEIGHTS]
    blobs = tmp_path / "hub" / "models--o--m" / "blobs"
    blobs.mkdir(parents=True)
    (blobs / f"{data.name}.incomplete").write_bytes(b"\0" * 5_000_000)

    made: list[Plan] = []
    fetching.fetch(task, None, made)

    assert data.data == made[-1].snapshot(WEIGHTS).read_bytes()
    assert ["bytes=5000000-", None] == [seen.range for seen in hub.asked("/cdn/")]


def test_a_removed_file_is_brought_again(hub: Hub, task: dict[str, Any]) -> None:
    """And only that."""
    made: list[Plan] = []
    fetching.fetch(task, None, made)
    made[0].snapshot("config.json").resolve().unlink()
    before = len(hub.seen)

    fetching.fetch(task, None, made)

    resolved = [s.path.rpartition("/")[2] for s in hub.seen[before:] if "/resolve/" in s.path]
    assert {"config.json"} == set(resolved)
    assert b"Qwen3ForCausalLM" in made[0].snapshot("config.json").read_bytes()


@pytest.mark.parametrize(
    ("changes", "token", "kind"),
    [
        ({"name": "o/none"}, None, "model"),
        ({"name": "o/none"}, "good", "model"),
        ({"name": "o/private"}, "poor", "model"),
        ({"name": "o/gated"}, None, "gated"),
        ({"name": "o/gated"}, "poor", "gated"),
        ({"revision": "v9"}, None, "revision"),
        ({}, "invalid", "token"),
    ],
)
def test_a_model_that_is_not_ours_is_told(
    task: dict[str, Any], changes: dict[str, str], token: str | None, kind: str
) -> None:
    """Missing, private, gated, an unknown revision, a token that is none."""
    assert kind == failed({**task, **changes}, token)


@pytest.mark.parametrize("name", ["o/gated", "o/private"])
def test_with_the_right_token_it_is_ours(task: dict[str, Any], name: str) -> None:
    """Whoever may read it gets it."""
    assert 3 <= fetching.fetch({**task, "name": name}, "good", [])["files"]


def test_the_token_stays_at_the_hub(hub: Hub, task: dict[str, Any]) -> None:
    """Where large files are sent from sees none."""
    fetching.fetch({**task, "name": "o/gated"}, "good", [])
    assert {"good"} == {seen.token for seen in hub.asked("/o/gated", "HEAD")}
    assert [("localhost", None)] == [(seen.address, seen.token) for seen in hub.asked("/cdn/")]


def test_a_hub_that_is_not_well_is_asked_again(hub: Hub, task: dict[str, Any]) -> None:
    """A few times."""
    hub.status = 503
    assert "hub" == failed(task)
    assert fetching.TRIES == len(hub.seen)


@pytest.mark.parametrize("hub_url", ["http://127.0.0.1:9", "http://no-such-hub.invalid"])
def test_a_hub_out_of_reach_is_told_at_once(
    task: dict[str, Any], hub_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One question, no pause: the host has no way out, or the address is wrong."""
    monkeypatch.setattr(fetching, "PAUSE_S", 3600.0)
    assert "egress" == failed({**task, "hub": hub_url})


def test_what_nobody_foresaw_is_logged(
    task: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """The name is none that the library takes; its traceback is for the log."""
    assert "other" == failed({**task, "name": "o/m/too/deep"})
    assert "HFValidationError" in capsys.readouterr().err
