"""What an engine is doing while it starts, read off its log; pure.

The words are vLLM's, from 0.10 to 0.33, and the simulator's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

START = "start"
#: In their order. Each has a deadline of its own: `timeouts.phases.<name>_s` of a recipe.
PHASES = (START, "weights", "compile", "kv_cache", "graphs", "serve")

# The steps of a start, in their order, and what tells that one was reached. Memory is profiled
# before, while and after the model is compiled (which happens in the first run of the profiling);
# graphs are captured on top of the KV cache. Lines of workers that are behind, of draft models and
# of what is compiled once more, tell of a step that is over: they are passed over.
_STEPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "weights",
        (
            r"Starting to load model\b",
            r"Loading \w+ checkpoint shards",
            r"Loading weights ",
            r"Fetching \d+ files",
            r"Time spent downloading weights",
            r"Filesystem type for checkpoints",
        ),
    ),
    ("kv_cache", (r"Model loading took ",)),
    (
        "compile",
        (
            r"Starting torch\.compile",
            r"Dynamo bytecode transform",
            r"for vLLM's torch\.compile",
            r"Compiling a graph for ",
            r"Directly load (the compiled graph|AOT compilation)",
            r"Cache the graph (for|of) ",
            r"Warming up model for the compilation",
        ),
    ),
    (
        "kv_cache",
        (
            r"torch\.compile (takes|took) ",
            r"torch\.compile and initial profiling",
            r"Warming up done\.",
            r"Profiling CUDA graph memory",
            r"Available KV cache memory",
            r"[GC]PU KV cache size",
            r"Explicitly set \([\d./]+\) GiB for KV cache",
        ),
    ),
    ("graphs", (r"Capturing CUDA graph",)),
    (
        "serve",
        (
            r"Graph capturing finished",
            r"init engine \(profile",
            r"Starting vLLM (API )?server",
            r"Started server process",
            r"Waiting for application startup",
            r"Application startup complete",
            r"Uvicorn running",
        ),
    ),
)
_PATTERNS = tuple(re.compile("|".join(words)) for _, words in _STEPS)
_DONE_OF = re.compile(r"\b(\d+)/(\d+) \[")
#: The progress bars of phases, and what they count.
_BARS = {
    "weights": (re.compile(r"Loading \w+ checkpoint shards"), " shards"),
    "graphs": (re.compile(r"Capturing CUDA graph"), ""),
}


@dataclass
class Tracker:
    """The phase that a log has come to.

    `seconds`: of each phase that was entered, up to the last line or `tick`. `detail`: how far it
    is, such as ``3/17 shards``; empty when nothing tells.
    """

    phase: str = START
    detail: str = ""
    seconds: dict[str, float] = field(default_factory=lambda: {START: 0.0})
    _step: int = -1
    _at: float = 0.0

    def line(self, text: str, at: float) -> None:
        """Read a line that came *at* seconds after the start; a redrawn bar is a line."""
        self.tick(at)
        step = self._reached(text)
        if step is not None and _STEPS[step][0] != self.phase:
            self.phase, self.detail = _STEPS[step][0], ""
            self.seconds.setdefault(self.phase, 0.0)
        self._step = self._step if step is None else step
        bar, unit = _BARS.get(self.phase, (None, ""))
        if bar and bar.search(text) and (done := _DONE_OF.search(text)):
            self.detail = f"{done[1]}/{done[2]}{unit}"

    def tick(self, at: float) -> None:
        """Time has gone on to *at* seconds after the start."""
        self.seconds[self.phase] = round(self.seconds[self.phase] + at - self._at, 3)
        self._at = at

    def _reached(self, text: str) -> int | None:
        for step in range(len(_STEPS) - 1, self._step, -1):
            if _PATTERNS[step].search(text):
                return step
        return None


def title(phase: str) -> str:
    """A phase as a person reads it."""
    return phase.replace("kv_cache", "KV cache")
