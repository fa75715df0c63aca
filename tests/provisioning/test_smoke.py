"""The smoke test of an engine, against one that does as it is told."""

from __future__ import annotations

import http.server
import json
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench_agent.protocol import EngineProcess, Target
from provisioning import smoke, smoke_probe
from provisioning.errors import LaunchError
from provisioning.facts.python import Pythons
from provisioning.host import Host
from provisioning.remote import Completed
from tests.provisioning.fakes import NoRemote

KEY = "k3y-that-nobody-sees-0123456789"
FIT: dict[str, Any] = {"status": 200, "models": ["m"], "tokens": None, "prompt": 9, "eos": True}


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers as its server's `does` says."""

    def do_GET(self) -> None:
        does = self.server.does  # type: ignore[attr-defined]
        more = {"max_model_len": does["context"]} if "context" in does else {}
        body = {"data": [{"id": name, **more} for name in does["models"]]}
        self._answer(does["status"], body if self.path == "/v1/models" else None)

    def do_POST(self) -> None:
        does = self.server.does  # type: ignore[attr-defined]
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        does.setdefault("asked", []).append((self.path, asked))
        if "ignore_eos" in asked and not does["eos"]:
            self._answer(422, {"error": "extra inputs are not permitted"})
            return
        tokens = asked["max_tokens"] if does["tokens"] is None else does["tokens"]
        usage = {"prompt_tokens": does["prompt"], "completion_tokens": tokens}
        self._answer(200, {"usage": usage, "choices": [{"finish_reason": "length"}]})

    def _answer(self, status: int, body: Any) -> None:
        if self.headers["Authorization"] != f"Bearer {KEY}":
            status, body = 401, {"error": f"no key, not {KEY}"}
        data = json.dumps(body).encode() if body is not None else b""
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@contextmanager
def engine(**does: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """The address of an engine, and what was asked of it."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.does = FIT | does  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", server.does  # type: ignore[attr-defined]
        finally:
            server.shutdown()


def seen(host: Host, tmp_path: Path, *urls: str, **more: Any) -> smoke.Smoke:
    """What a smoke test of engines comes to."""
    key = tmp_path / "key"
    key.write_text(KEY)
    return smoke.ask(host, target(str(key), *urls, **more))


def target(key: str | None, *urls: str, model: str = "m", api: str = "completions") -> Target:
    """Engines that are this very process."""
    me = EngineProcess(os.getpid(), 1, "b")
    return Target(urls, model, api, key, engines=(me,))


@pytest.mark.integration
def test_an_engine_that_is_well_passes_in_one_exchange(host: Host, tmp_path: Path) -> None:
    """Health, models, and as many tokens as were asked for, whatever the model would say."""
    with engine() as (url, does):
        before = host.remote.exchanges
        found = seen(host, tmp_path, url)
    ((path, asked),) = does["asked"]

    assert ["health", "models", "completion"] == [c.name for c in found.checks if c.ok]
    assert (None, 16, 9, True) == (
        found.failed,
        found.tokens,
        found.prompt_tokens,
        found.ignore_eos,
    )
    assert ("/v1/completions", 16, True) == (path, asked["max_tokens"], asked["ignore_eos"])
    assert 2 >= host.remote.exchanges - before
    assert found.seconds >= 0


@pytest.mark.integration
def test_a_short_context_asks_for_a_short_reply(host: Host, tmp_path: Path) -> None:
    """Half of it is the prompt's."""
    with engine(context=20) as (url, does):
        found = seen(host, tmp_path, url)

    assert (None, 10, 10) == (found.failed, found.tokens, does["asked"][0][1]["max_tokens"])


@pytest.mark.integration
def test_chat_is_tried_where_it_is_meant(host: Host, tmp_path: Path) -> None:
    """With a message in the place of a prompt."""
    with engine() as (url, does):
        found = seen(host, tmp_path, url, api="chat")

    assert found.failed is None
    assert ["/v1/chat/completions"] == [path for path, _ in does["asked"]]
    assert "messages" in does["asked"][0][1]


@pytest.mark.integration
def test_every_engine_of_several_is_tried(host: Host, tmp_path: Path) -> None:
    """The one that fails is named."""
    with engine() as (one, _), engine(tokens=3) as (other, _):
        found = seen(host, tmp_path, one, other)

    assert ["health 1", "models 1", "completion 1", "health 2", "models 2", "completion 2"] == [
        check.name for check in found.checks
    ]
    assert found.failed is not None
    assert ("completion 2", "3 tokens came, 16 were asked for (finish reason: length)") == (
        found.failed.name,
        found.failed.what,
    )


@pytest.mark.integration
def test_an_engine_that_cannot_ignore_the_end_may_stop_before(host: Host, tmp_path: Path) -> None:
    """It is asked again without, and that is told."""
    with engine(eos=False, tokens=5) as (url, _):
        found = seen(host, tmp_path, url)

    assert (None, 5, False) == (found.failed, found.tokens, found.ignore_eos)


@pytest.mark.integration
@pytest.mark.parametrize(
    ("does", "name", "what"),
    [
        ({"status": 503}, "health", "/health answers 503"),
        ({"models": ["other"]}, "models", "it serves other, not m"),
        ({"models": []}, "models", "it serves no model, not m"),
        ({"tokens": 17}, "completion", "17 tokens came, 16 were asked for"),
        ({"eos": False, "tokens": 0}, "completion", "0 tokens came"),
        ({"prompt": 0}, "completion", "it counts 0 tokens of the prompt"),
    ],
)
def test_an_engine_that_is_not_well_does_not_pass(
    host: Host, tmp_path: Path, does: dict[str, Any], name: str, what: str
) -> None:
    """What was seen is told; nothing is tried after that."""
    with engine(**does) as (url, _):
        found = seen(host, tmp_path, url)

    assert found.failed is not None
    assert (name, found.failed) == (found.failed.name, found.checks[-1])
    assert found.failed.what.startswith(what)


@pytest.mark.integration
def test_the_key_is_told_nowhere(host: Host, tmp_path: Path) -> None:
    """An engine may repeat it."""
    with engine() as (url, _):
        (tmp_path / "key").write_text(f"{KEY}x")
        found = smoke.ask(host, target(str(tmp_path / "key"), url))

    assert found.failed is not None
    assert "401" in found.failed.what
    assert f"{KEY}x" not in str(found)


@pytest.mark.integration
def test_nobody_there_and_no_key_are_answers(host: Host, tmp_path: Path) -> None:
    """No traceback."""
    nobody = seen(host, tmp_path, "http://127.0.0.1:1")
    keyless = smoke.ask(host, target(str(tmp_path / "none"), "http://127.0.0.1:1"))

    assert nobody.failed is not None
    assert "refused" in nobody.failed.what
    assert keyless.failed is not None
    assert ("key", "No such file or directory") == (keyless.failed.name, keyless.failed.what)


@pytest.mark.integration
def test_a_failure_is_an_error_of_its_phase(host: Host) -> None:
    """With the check, and what was seen."""
    with pytest.raises(
        LaunchError, match=r"smoke test failed \(health\): /health does not"
    ) as told:
        smoke.smoke(host, target(None, "http://127.0.0.1:1"))
    assert "smoke" == told.value.phase


class Broken(NoRemote):
    """Its Python says nothing that is understood."""

    def run(self, command: str, **_: Any) -> Completed:
        del command
        return Completed(1, "", "boom")


def test_a_test_that_cannot_be_made_is_told() -> None:
    """With what the host said."""
    host = Host(Broken(), "/w")
    host._known[Pythons()] = Pythons().parse("3.11.0 /usr/bin/python3\n")
    with pytest.raises(LaunchError, match="could not be made") as told:
        smoke.ask(host, target(None, "http://127.0.0.1:1"))
    assert "boom" == told.value.log


def gpu(tmp_path: Path, apps: str, used: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the probe sees with a nvidia-smi that says so."""
    fake = tmp_path / "bin" / "nvidia-smi"
    fake.parent.mkdir()
    fake.write_text(f'#!/bin/sh\ncase $1 in *apps*) echo "{apps}" ;; *) echo "{used}" ;; esac\n')
    fake.chmod(fake.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")
    found = smoke_probe.smoke({"base_urls": [], "gpu": True, "pids": [os.getpid()]})
    check: dict[str, Any] = found["checks"][0]
    return check


@pytest.mark.integration
def test_a_child_of_the_engine_on_a_gpu_is_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its workers are children of children."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        check = gpu(tmp_path, f"{child.pid}, 31000", "0, 0", monkeypatch)
        child.communicate(b"\n")

    assert (True, f"process {child.pid}: 31000 MiB") == (check["ok"], check["what"])


@pytest.mark.integration
@pytest.mark.parametrize(
    ("apps", "used", "ok", "what"),
    [
        ("", "0, 41000", True, "GPU 0: 41000 MiB"),
        ("4194399, 31000", "0, 41000", True, "GPU 0: 41000 MiB"),  # seen under other numbers
        ("", "0, 614", False, "no GPU has any memory in use: the engine runs without"),
        (
            "4194399, [N/A]",
            "0, [N/A]",
            False,
            "no GPU has any memory in use: the engine runs without",
        ),
    ],
)
def test_memory_that_is_taken_tells_where_processes_do_not(  # noqa: PLR0917 - a table
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, apps: str, used: str, ok: bool, what: str
) -> None:
    """In containers the driver may know them by other numbers."""
    check = gpu(tmp_path, apps, used, monkeypatch)

    assert (ok, what) == (check["ok"], check["what"])


@pytest.mark.integration
def test_memory_of_somebody_else_is_not_the_engines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each engine has to have a process on a GPU, where processes are told."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        pids = [child.pid, os.getpid()]
        others = gpu(tmp_path, "1, 31000", "0, 41000", monkeypatch)
        (tmp_path / "bin" / "nvidia-smi").write_text(f"#!/bin/sh\necho {os.getpid()}, 31000\n")
        one = smoke_probe.smoke({"base_urls": [], "gpu": True, "pids": pids})["checks"][0]
        child.communicate(b"\n")

    nothing = "nothing of process {} is on a GPU, others are"
    assert (False, nothing.format(os.getpid())) == (others["ok"], others["what"])
    assert (False, nothing.format(child.pid)) == (one["ok"], one["what"])


def test_a_front_needs_no_gpu() -> None:
    """It stands last, and requests go to it alone."""
    engines = tuple(EngineProcess(pid, 1, "b") for pid in (11, 12, 13))
    both = replace(target(None, "http://a", "http://b"), engines=engines[:2])

    assert ([11, 12], [11, 12]) == (
        smoke._pids(replace(target(None, "http://a"), engines=engines)),
        smoke._pids(both),
    )


def test_a_host_without_the_tool_has_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """That is a failure where one is wanted."""
    monkeypatch.setenv("PATH", "/nowhere")
    check = smoke_probe.smoke({"base_urls": [], "gpu": True, "pids": []})["checks"][0]

    assert (False, "there is no nvidia-smi") == (check["ok"], check["what"])
