"""That an engine ended, where only others know why."""

from __future__ import annotations

import signal

from provisioning.diagnosis.failure import Failure
from provisioning.diagnosis.state import State


def _killed(state: State) -> str:
    for one in state.engines:
        number = one.signal or (one.exit_code or 0) - 128
        if not one.alive and not one.oom_killed and number == signal.SIGKILL:
            return f"{one.engine} ended by SIGKILL."
    return ""


def _gone(state: State) -> str:
    gone = [one.engine for one in state.engines if not one.alive]
    return f"Its process is gone: {', '.join(gone)}." if gone else ""


def _restarted(state: State) -> str:
    again = [f"{one.engine} ({one.restarts} times)" for one in state.engines if one.restarts]
    return f"Started anew: {', '.join(again)}." if again else ""


FAILURES = (
    Failure(
        "engine-killed",
        "Somebody, or the kernel, killed the engine (SIGKILL); it had no time to say anything.",
        "If nobody did that by hand, look for memory that ran out: `sudo dmesg | tail` there.",
        ("Linux SIGKILL",),
        state=_killed,
    ),
    Failure(
        "engine-gone",
        "The engine's process ended.",
        "The end of its log says why; where that just stops, it was killed: `sudo dmesg | tail` on "
        "the host tells whether for memory.",
        ("Linux /proc",),
        state=_gone,
        severity="consequence",
    ),
    Failure(
        "worker-died",
        "A worker process of the engine ended without a word: killed, or crashed in a kernel.",
        "Look for its end in `sudo dmesg | tail` on the host: memory, or an Xid of a GPU.",
        ("vLLM 0.32 vllm/v1/executor/multiproc_executor.py",),
        (
            r"Worker proc \S+ died unexpectedly",
            r"MPClient: engine core exited unexpectedly",
            r"Engine core process \S+ died unexpectedly",
        ),
        severity="consequence",
    ),
    Failure(
        "engine-gave-up-waiting",
        "The engine waited for its own core for as long as it may, and gave up: the model takes "
        "longer to load than that, or the core is dead or hangs.",
        "If it only needs longer, set `VLLM_ENGINE_READY_TIMEOUT_S: 3600` in `engine.env`.",
        ("vLLM 0.32 vllm/v1/engine/core_client.py",),
        (r"Timed out waiting for engine core processes to start",),
    ),
    Failure(
        "engine-dead",
        "The engine's core met an error that it could not live with; requests get errors since.",
        "The cause stands before it in the log.",
        ("vLLM 0.32 vllm/v1/engine/exceptions.py", "vllm-project/vllm#27194"),
        (
            r"EngineDeadError: ",
            r"EngineCore encountered a fatal error",
            r"AsyncLLM output_handler failed",
        ),
        severity="consequence",
    ),
    Failure(
        "engine-not-started",
        "The engine's core did not start.",
        "The cause stands before it in the log.",
        ("vLLM 0.32 vllm/v1/engine/utils.py", "vLLM 0.32 vllm/v1/engine/core.py"),
        (
            r"Engine core initialization failed",
            r"EngineCore failed to start",
            r"WorkerProc initialization failed due to an exception in a background process",
        ),
        severity="consequence",
    ),
    Failure(
        "engine-restarted",
        "What watches over the engine started it anew: it had ended in between.",
        "See the end of its first life in the log; leave `engine.restart` out for a benchmark.",
        ("Docker RestartCount", "systemd NRestarts"),
        state=_restarted,
        severity="consequence",
    ),
)
