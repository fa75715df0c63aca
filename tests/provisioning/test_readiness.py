"""From the engine's start to its first answer, in one exchange."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import pytest

from provisioning import launch, readiness
from provisioning.engines.base import ProcessSpec
from provisioning.errors import LaunchError, RemoteError
from provisioning.facts.python import Pythons
from provisioning.host import Host
from provisioning.launchers import process
from provisioning.launchers.base import Handle
from provisioning.readiness import Progress
from tests.provisioning.conftest import KEY
from tests.provisioning.fakes import NoRemote

RUN = "20260101T000000Z-rehearsal-0a1b"
HANDLE = Handle(RUN, 1, 2, "boot", 8000, "/health", "/w/log", None)
Fake = Callable[..., ProcessSpec]


class Streaming(NoRemote):
    """A remote whose stream is given; answers the question for Python."""

    def __init__(self, *messages: dict[str, Any]) -> None:
        self._lines = "".join(json.dumps(message) + "\n" for message in messages)
        self.said = ""

    @contextmanager
    def stream(self, command: str, *, stdin: bytes = b"") -> Iterator[IO[bytes]]:
        self.said = command
        yield io.BytesIO(self._lines.encode())


def waited(*messages: dict[str, Any]) -> tuple[readiness.Ready, list[Progress]]:
    """What comes of a stream of messages, and what was heard meanwhile."""
    heard: list[Progress] = []
    host = Host(Streaming(*messages), "/w")
    host._known[Pythons()] = Pythons().parse("3.11.0 /usr/bin/python3\n")
    return readiness.wait(host, HANDLE, 60, heard.append), heard


def test_phases_are_read_off_the_log() -> None:
    """Each from its first line to the next one's; the same again adds up."""
    ready, heard = waited(
        {"seconds": 0.5},
        {"seconds": 1.0, "line": "Starting to load model x"},
        {"seconds": 3.0, "line": "Capturing CUDA graphs (decode)"},
        {"seconds": 4.0, "line": "nothing that is known"},
        {"seconds": 4.5, "line": "Loading weights took 1 s"},
        {"seconds": 6.0, "end": "ready", "answer": "200", "tail": []},
    )
    assert readiness.Ready(6.0, {"start": 1.0, "load weights": 3.5, "capture graphs": 1.5}) == ready
    assert Progress(0.5, "start", "") == heard[0]
    assert Progress(4.0, "capture graphs", "nothing that is known") == heard[3]


@pytest.mark.parametrize(
    ("line", "phase"),
    [
        ("Fetching 12 files: 30%", "download"),
        (
            "INFO [gpu_model_runner.py:1] Starting to load model Qwen/Qwen3-32B-FP8...",
            "load weights",
        ),
        ("Loading safetensors checkpoint shards:  50% Completed | 1/2", "load weights"),
        ("INFO [backends.py:1] Dynamo bytecode transform time: 5.1 s", "compile"),
        ("INFO [gpu_worker.py:1] Available KV cache memory: 60.1 GiB", "profile memory"),
        ("Capturing CUDA graphs (mixed prefill-decode, PIECEWISE): 10%", "capture graphs"),
        ("INFO:     Application startup complete.", "serve"),
        ("INFO:     127.0.0.1:1 - GET /health 200", None),
    ],
)
def test_a_log_line_tells_the_phase(line: str, phase: str | None) -> None:
    """In the words of vLLM; most lines tell nothing."""
    assert phase == readiness.phase_of(line)


def test_an_engine_that_ended_is_an_error_with_its_last_words() -> None:
    """In which phase, and the tail of its log."""
    with pytest.raises(
        LaunchError, match=r"ended before it was ready \(in phase: load weights\)"
    ) as caught:
        waited(
            {"seconds": 1, "line": "Starting to load model"},
            {"seconds": 2, "end": "exited", "answer": "", "tail": ["a", "CUDA out of memory"]},
        )
    assert "a\nCUDA out of memory" == caught.value.log


def test_an_engine_that_is_late_is_an_error_with_its_last_answer() -> None:
    """How long was waited, and which setting is for that."""
    with pytest.raises(LaunchError, match=r"not ready within 60 s .*last answer: 503") as caught:
        waited({"seconds": 60, "end": "late", "answer": "503", "tail": ["x"]})
    assert ("x", True) == (caught.value.log, "timeouts.ready_s" in caught.value.advice)


def test_a_stream_without_an_end_is_a_broken_connection() -> None:
    """Not a ready engine."""
    with pytest.raises(RemoteError, match="broke off"):
        waited({"seconds": 1})


@pytest.mark.integration
def test_a_real_start_is_waited_for_in_one_exchange(host: Host, fake: Fake) -> None:
    """Its log is heard, its phases are measured, its key is sent and seen nowhere."""
    handle = launch.start(host, process, fake(), RUN)
    host.gather(Pythons)
    heard: list[Progress] = []
    before = host.remote.exchanges
    ready = readiness.wait(host, handle, 20, heard.append)
    assert (1, True) == (host.remote.exchanges - before, ready.seconds > 0)
    assert {"start", "serve"} == set(ready.phases)
    assert "Application startup complete." in [progress.line for progress in heard]
    assert KEY not in str(heard)


@pytest.mark.integration
def test_an_engine_that_exits_is_noticed_at_once(host: Host, fake: Fake) -> None:
    """Long before the deadline, with what it said."""
    handle = launch.start(host, process, fake("exit"), RUN)
    with pytest.raises(LaunchError, match="ended before") as caught:
        readiness.wait(host, handle, 600)
    assert "CUDA out of memory, says the fake" == caught.value.log


@pytest.mark.integration
@pytest.mark.parametrize(("mode", "answer"), [("busy", "503"), ("silent", "refused")])
def test_an_engine_that_never_says_200_is_late(
    host: Host, fake: Fake, mode: str, answer: str
) -> None:
    """It is left running: its log is still to be rescued."""
    handle = launch.start(host, process, fake(mode, ready_path="/x"), RUN)
    with pytest.raises(LaunchError, match=f"not ready within 1.5 s.*{answer}"):
        readiness.wait(host, handle, 1.5)
    assert launch.alive(host, RUN)


@pytest.mark.integration
def test_a_wrong_key_is_not_ready(host: Host, fake: Fake) -> None:
    """Another server on the port does not know our key."""
    handle = launch.start(host, process, fake(), RUN)
    Path(str(handle.api_key_file)).write_text("other")
    with pytest.raises(LaunchError, match="last answer: 401"):
        readiness.wait(host, handle, 1.5)


@pytest.mark.integration
def test_another_server_on_the_port_is_not_our_engine(host: Host, fake: Fake) -> None:
    """Whoever answers: our process has to be there."""
    handle = launch.start(host, process, fake(), RUN)
    readiness.wait(host, handle, 20)
    with pytest.raises(LaunchError, match="ended before"):
        readiness.wait(host, replace(handle, pid_started=handle.pid_started - 1), 20)
