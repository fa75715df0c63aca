"""What an engine is doing, off whole logs and single lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from provisioning.readiness_phases import PHASES, Tracker, title

LOGS = Path(__file__).parent / "diagnosis"


def passed(name: str) -> list[tuple[str, str]]:
    """The phases of a log, each with the furthest that it got."""
    tracker = Tracker()
    found = [("start", "")]
    for line in (LOGS / name / "log.txt").read_text().replace("\r", "\n").split("\n"):
        tracker.line(line, 1.0)
        if tracker.phase != found[-1][0]:
            found.append((tracker.phase, ""))
        if tracker.detail:
            found[-1] = (tracker.phase, tracker.detail)
    return found


@pytest.mark.parametrize(
    ("name", "phases"),
    [
        (
            "healthy-gpu",
            [
                ("start", ""),
                ("weights", "7/7 shards"),
                ("kv_cache", ""),
                ("compile", ""),
                ("kv_cache", ""),
                ("graphs", "35/35"),
                ("serve", ""),
            ],
        ),
        (
            "healthy-gpu-0.10",
            [
                ("start", ""),
                ("weights", "7/7 shards"),
                ("kv_cache", ""),
                ("compile", ""),
                ("kv_cache", ""),
                ("graphs", "19/19"),
                ("serve", ""),
            ],
        ),
        (
            "healthy-cpu",
            [("start", ""), ("weights", "1/1 shards"), ("kv_cache", ""), ("serve", "")],
        ),
        ("p2p-hang", [("start", "")]),
        ("host-out-of-memory", [("start", ""), ("weights", "4/7 shards")]),
        ("port-in-use", [("start", "")]),
    ],
)
def test_the_phases_of_a_whole_log(name: str, phases: list[tuple[str, str]]) -> None:
    """In vLLM's words of several releases."""
    assert phases == passed(name)


@pytest.mark.parametrize(
    ("line", "phase"),
    [
        ("Fetching 12 files:  30%|###  | 4/12 [00:01<00:04]", "weights"),
        ("INFO [gpu_model_runner.py:1] Starting to load model Qwen/Qwen3-32B-FP8...", "weights"),
        ("Loading pt checkpoint shards:  50% Completed | 1/2 [00:01<00:01]", "weights"),
        ("INFO [weight_utils.py:1] Time spent downloading weights for x: 61.2 seconds", "weights"),
        ("INFO [gpu_model_runner.py:1] Model loading took 31.9 GiB and 205 seconds", "kv_cache"),
        ("INFO [backends.py:1] Dynamo bytecode transform time: 5.1 s", "compile"),
        ("INFO [monitor.py:1] [backbone] Starting torch.compile", "compile"),
        ("INFO [backends.py:1] Directly load the compiled graph(s) for dynamic shape", "compile"),
        ("INFO [cpu_model_runner.py:1] Warming up model for the compilation...", "compile"),
        ("INFO [gpu_worker.py:1] Available KV cache memory: 60.1 GiB", "kv_cache"),
        ("INFO [gpu_model_runner.py:1] Profiling CUDA graph memory: FULL=35", "kv_cache"),
        (
            "Capturing CUDA graphs (mixed prefill-decode, PIECEWISE):  10%|# | 1/10 [00:01]",
            "graphs",
        ),
        ("Capturing CUDA graph shapes:   0%| | 0/67 [00:00<?, ?it/s]", "graphs"),
        ("INFO [api_server.py:1] Starting vLLM API server 0 on http://0.0.0.0:8000", "serve"),
        ("INFO:     Application startup complete.", "serve"),
        ("INFO:     127.0.0.1:1 - GET /health 200", "start"),
    ],
)
def test_a_line_tells_the_phase(line: str, phase: str) -> None:
    """Most lines tell nothing."""
    tracker = Tracker()
    tracker.line(line, 1.0)
    assert phase == tracker.phase


def test_what_is_behind_does_not_take_a_start_back() -> None:
    """Other workers, draft models, and what is compiled once more."""
    tracker = Tracker()
    for at, line in enumerate(
        (
            "Starting to load model x...",
            "Model loading took 1 GiB and 2 seconds",
            "Loading weights took 3.0 seconds",
            "Dynamo bytecode transform time: 5.1 s",
            "Model loading took 1 GiB and 2 seconds",
            "Capturing CUDA graphs (decode, FULL):   5%| | 1/20 [00:01]",
            "Compiling a graph for compile range (1, 8) takes 8.81 s",
            "Loading safetensors checkpoint shards:  50% Completed | 1/2 [00:01]",
        ),
        1,
    ):
        tracker.line(line, float(at))
    tracker.tick(10.0)
    assert ("graphs", "1/20") == (tracker.phase, tracker.detail)
    assert {"start": 1.0, "weights": 1.0, "kv_cache": 2.0, "compile": 2.0, "graphs": 4.0} == (
        tracker.seconds
    )


def test_phases_have_names_for_people() -> None:
    """Those of the recipe's keys, but for one."""
    assert ["start", "weights", "compile", "KV cache", "graphs", "serve"] == [
        title(phase) for phase in PHASES
    ]
