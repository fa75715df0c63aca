"""The load clients, by name: how each is started, and where its figures lie."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tools.bench_agent.figures import Timing
from tools.bench_agent.server import MODEL, Served

INPUT_TOKENS = 128


@dataclass(frozen=True)
class Load:
    """`streams` at once, `requests` in all, of `tokens` each."""

    url: str
    streams: int
    requests: int
    tokens: int


@dataclass(frozen=True)
class Start:
    """How to start a client in a folder of its own."""

    argv: list[str]
    stdin: bytes = b""
    env: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Client:
    """`said` reads the figures in the folder; `measured` picks the requests that count."""

    name: str
    install: str
    start: Callable[[str, Load, Path], Start]
    said: Callable[[Path], Timing]
    measured: Callable[[Path, Load, list[Served]], Sequence[Served]]


def whole(_folder: Path, load: Load, served: list[Served]) -> list[Served]:
    """The requests of full length, less what a client sent ahead to see whether it can."""
    full = [row for row in served if len(row.sent_ns) == load.tokens]
    return full[-load.requests :]


def read_json(path: Path) -> Any:
    """What a client left there."""
    return json.loads(path.read_bytes())


def tokenizer(folder: Path) -> Path:
    """A tokenizer for ASCII, a token a character, in the format of the `tokenizers` library."""
    path = folder / "tokenizer"
    path.mkdir()
    characters = ["\u010a", "\u0120", *map(chr, range(33, 127))]  # line feed, space, the rest
    bytewise = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    vocabulary = {character: number for number, character in enumerate(characters)}
    value: dict[str, Any] = {
        "version": "1.0",
        "added_tokens": [],
        "pre_tokenizer": bytewise,
        "decoder": bytewise,
        "model": {"type": "BPE", "vocab": vocabulary, "merges": []},
    }
    value |= dict.fromkeys(("truncation", "padding", "normalizer", "post_processor"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast"}
    (path / "tokenizer.json").write_text(json.dumps(value))
    (path / "tokenizer_config.json").write_text(json.dumps(config))
    return path


def _start_vllm(binary: str, load: Load, folder: Path) -> Start:
    options = {
        "backend": "openai",
        "base-url": load.url,
        "endpoint": "/v1/completions",
        "model": MODEL,
        "tokenizer": tokenizer(folder),
        "dataset-name": "random",
        "random-input-len": INPUT_TOKENS,
        "random-output-len": load.tokens,
        "num-prompts": load.requests,
        "max-concurrency": load.streams,
        "percentile-metrics": "ttft,tpot,itl,e2el",
        "metric-percentiles": "50,99",
        "ready-check-timeout-sec": 0,
        "result-filename": folder / "result.json",
    }
    flags = ["--ignore-eos", "--disable-tqdm", "--save-result"]
    pairs = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    env = {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}
    return Start([binary, "bench", "serve", *pairs, *flags], env=env)


def _said_vllm(folder: Path) -> Timing:
    found = read_json(folder / "result.json")
    return Timing(found["mean_ttft_ms"], found["median_itl_ms"], found["p99_itl_ms"])


def _start_guidellm(binary: str, load: Load, folder: Path) -> Start:
    backend = {"kind": "openai_http", "target": load.url, "model": MODEL}
    options: dict[str, Any] = {
        "backend": backend | {"request_format": "/v1/completions"},
        "profile": {"kind": "concurrent", "streams": [load.streams]},
        "constraint": {"kind": "max_requests", "count": load.requests},
        "tokenizer": {"kind": "huggingface_auto", "model": str(tokenizer(folder))},
        "data": {
            "kind": "synthetic_text",
            "prompt_tokens": INPUT_TOKENS,
            "output_tokens": load.tokens,
        },
        "output": {"kind": "json", "path": str(folder / "result.json")},
    }
    pairs = [text for name, value in options.items() for text in (f"--{name}", json.dumps(value))]
    env = {"HF_HUB_OFFLINE": "1", "GUIDELLM__MAX_WORKER_PROCESSES": "1"}
    return Start([binary, "run", *pairs, "--disable-console"], env=env)


def _said_guidellm(folder: Path) -> Timing:
    found = read_json(folder / "result.json")["benchmarks"][0]["metrics"]
    ttft = found["time_to_first_token_ms"]["successful"]
    itl = found["inter_token_latency_ms"]["successful"]
    # its ITL is a mean for each request: there is no 99th of all gaps
    return Timing(ttft["mean"], itl["percentiles"]["p50"], None)


def _start_aiperf(binary: str, load: Load, folder: Path) -> Start:
    options = {
        "url": load.url,
        "model": MODEL,
        "tokenizer": tokenizer(folder),
        "endpoint-type": "completions",
        "synthetic-input-tokens-mean": INPUT_TOKENS,
        "synthetic-input-tokens-stddev": 0,
        "output-tokens-mean": load.tokens,
        "output-tokens-stddev": 0,
        "concurrency": load.streams,
        "request-count": load.requests,
        "artifact-dir": folder / "artifacts",
        "ui": "none",
    }
    pairs = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    return Start([binary, "profile", *pairs, "--streaming", "--use-server-token-count"])


def _said_aiperf(folder: Path) -> Timing:
    (path,) = folder.glob("artifacts/**/profile_export_aiperf.json")
    found = read_json(path)
    itl = found["inter_chunk_latency"]  # its inter_token_latency is a mean for each request
    return Timing(found["time_to_first_token"]["avg"], itl["p50"], itl["p99"])


OTHERS = (
    Client("vllm", "vllm", _start_vllm, _said_vllm, whole),
    Client("guidellm", "guidellm", _start_guidellm, _said_guidellm, whole),
    Client("aiperf", "aiperf", _start_aiperf, _said_aiperf, whole),
)
