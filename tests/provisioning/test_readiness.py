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
from provisioning.engine_schema import Phases, Timeouts
from provisioning.engines.base import ProcessSpec
from provisioning.errors import LaunchError, RemoteError
from provisioning.facts.python import Pythons
from provisioning.host import Host
from provisioning.launchers import process
from provisioning.launchers.base import Handle
from provisioning.readiness import NotReadyError, Progress
from provisioning.readiness_phases import PHASES
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


def waited(
    *messages: dict[str, Any], ready_s: float = 60, **phases: float
) -> tuple[readiness.Ready, list[Progress]]:
    """What comes of a stream of messages, and what was heard meanwhile."""
    heard: list[Progress] = []
    host = Host(Streaming(*messages), "/w")
    host._known[Pythons()] = Pythons().parse("3.11.0 /usr/bin/python3\n")
    timeouts = Timeouts(ready_s=ready_s, phases=Phases(**phases))
    return readiness.wait(host, HANDLE, timeouts, heard.append), heard


def test_phases_are_read_off_the_log() -> None:
    """Each from its first line to the next one's; the last to the answer."""
    ready, heard = waited(
        {"seconds": 0.5},
        {"seconds": 1.0, "line": "Starting to load model x"},
        {"seconds": 2.0, "line": "Loading safetensors checkpoint shards:  50% Completed | 1/2 [a]"},
        {
            "seconds": 3.0,
            "line": "Capturing CUDA graphs (decode, FULL):  25%|# | 2/8 [00:00<00:03]",
        },
        {"seconds": 4.0, "line": "nothing that is known"},
        {"seconds": 6.0, "end": "ready", "answer": "200", "tail": []},
    )
    assert readiness.Ready(6.0, {"start": 1.0, "weights": 2.0, "graphs": 3.0}) == ready
    assert [
        Progress(0.5, "start", "", 0.5),
        Progress(4.0, "graphs", "nothing that is known", 1.0, "2/8"),
        Progress(6.0, "ready", "nothing that is known", 3.0),
    ] == [heard[0], *heard[-2:]]
    assert ("weights", "1/2 shards") == (heard[2].phase, heard[2].detail)


def test_a_phase_that_hangs_is_given_up_at_its_own_deadline() -> None:
    """Long before that of the whole: which phase, its last line, and the key that moves it."""
    with pytest.raises(NotReadyError) as caught:
        waited(
            {"seconds": 5.0},
            {"seconds": 9.0, "line": "Starting to load model x"},
            {"seconds": 12.0, "line": "Capturing CUDA graphs (decode):  25%|# | 2/8 [00:00]"},
            {"seconds": 21.9},
            {"seconds": 22.0},
            {"seconds": 23.0, "line": "never read"},
            start_s=10,
            graphs_s=10,
        )
    error = caught.value
    assert ("hung", "graphs") == (error.end, error.phase_reached)
    assert "in phase graphs for more than 10 s" in error.what
    assert "its last line: Capturing CUDA graphs (decode):  25%|# | 2/8 [00:00]" in error.what
    assert "--set timeouts.phases.graphs_s=" in error.advice
    assert "Starting to load model x" == error.log.splitlines()[0]


def test_an_engine_that_says_nothing_is_given_up() -> None:
    """That it has said nothing is told."""
    with pytest.raises(NotReadyError, match=r"in phase start for more than 3 s.*said nothing"):
        waited({"seconds": 3.0}, start_s=3)


@pytest.mark.parametrize("phase", PHASES)
def test_each_phase_has_a_deadline_in_the_recipe(phase: str) -> None:
    """A new phase is not done without one."""
    assert f"{phase}_s" in Phases.model_fields
    assert len(PHASES) == len(Phases.model_fields)


def test_a_start_is_told_in_a_few_lines() -> None:
    """Each phase with what the one before took, progress now and then, the whole at the end."""
    said: list[str] = []
    tell = readiness.Teller(said.append, "engine 2")
    for now in (
        Progress(0.1, "start", "", 0.1),
        Progress(8.0, "start", "x", 8.0),
        Progress(8.5, "weights", "y", 0.5),
        Progress(12.0, "weights", "y", 4.0, "1/7 shards"),
        Progress(19.0, "weights", "y", 11.0, "3/7 shards"),
        Progress(29.5, "weights", "y", 21.5, "3/7 shards"),
        Progress(50.0, "weights", "y", 42.0, "3/7 shards"),
        Progress(51.0, "kv_cache", "z", 1.0),
        Progress(55.0, "ready", "z", 5.0),
    ):
        tell(now)
    assert [
        "engine 2: start took 8.0 s; weights",
        "engine 2: weights 3/7 shards (11 s)",
        "engine 2: weights 3/7 shards (42 s)",
        "engine 2: weights took 42.0 s; KV cache",
        "engine 2: KV cache took 5.0 s",
        "engine 2: ready after 55.0 s",
    ] == said


def test_an_engine_that_ended_is_an_error_with_its_last_words() -> None:
    """In which phase, and the tail of its log."""
    with pytest.raises(
        LaunchError, match=r"ended before it was ready \(in phase: weights\)"
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
    ready = readiness.wait(host, handle, Timeouts(ready_s=20), heard.append)
    assert (1, True) == (host.remote.exchanges - before, ready.seconds > 0)
    assert {"start", "serve"} == set(ready.phases)
    assert "Application startup complete." in [progress.line for progress in heard]
    assert KEY not in str(heard)


@pytest.mark.integration
def test_an_engine_that_exits_is_noticed_at_once(host: Host, fake: Fake) -> None:
    """Long before the deadline, with what it said."""
    handle = launch.start(host, process, fake("exit"), RUN)
    with pytest.raises(LaunchError, match="ended before") as caught:
        readiness.wait(host, handle, Timeouts(ready_s=600))
    assert "CUDA out of memory, says the fake" == caught.value.log


@pytest.mark.integration
@pytest.mark.parametrize(("mode", "answer"), [("busy", "503"), ("silent", "refused")])
def test_an_engine_that_never_says_200_is_late(
    host: Host, fake: Fake, mode: str, answer: str
) -> None:
    """It is left running: its log is still to be rescued."""
    handle = launch.start(host, process, fake(mode, ready_path="/x"), RUN)
    with pytest.raises(LaunchError, match=f"not ready within 1.5 s.*{answer}"):
        readiness.wait(host, handle, Timeouts(ready_s=1.5))
    assert launch.alive(host, RUN)


@pytest.mark.integration
def test_a_wrong_key_is_not_ready(host: Host, fake: Fake) -> None:
    """Another server on the port does not know our key."""
    handle = launch.start(host, process, fake(), RUN)
    Path(str(handle.api_key_file)).write_text("other")
    with pytest.raises(LaunchError, match="last answer: 401"):
        readiness.wait(host, handle, Timeouts(ready_s=1.5))


@pytest.mark.integration
def test_another_server_on_the_port_is_not_our_engine(host: Host, fake: Fake) -> None:
    """Whoever answers: our process has to be there."""
    handle = launch.start(host, process, fake(), RUN)
    readiness.wait(host, handle, Timeouts(ready_s=20))
    another = replace(handle, pid_started=handle.pid_started - 1)
    with pytest.raises(LaunchError, match="ended before"):
        readiness.wait(host, another, Timeouts(ready_s=20))
