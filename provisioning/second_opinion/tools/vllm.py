"""``vllm bench serve``, as it comes with the engine: out of its environment or its image.

It ends with exit code 0 when all its requests have failed; what it counted is what tells. Its
prompts are its own: random, of the lengths of ours.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bench_agent import protocol
from bench_agent.protocol import Target
from provisioning import containers
from provisioning.facts.python import Pythons, usable
from provisioning.host import Host
from provisioning.host_schema import PythonPackages
from provisioning.recipe_schema import Recipe
from provisioning.second_opinion import calling
from provisioning.second_opinion.base import Asked, Opinion, Teller

NAME = "vllm"
#: It is the engine's; the manifest says which.
VERSION = "the engine's own"
_DRIVER = Path(__file__).parent / "vllm_driver.py"
_ENDPOINTS = {
    "completions": ("openai", "/v1/completions"),
    "chat": ("openai-chat", "/v1/chat/completions"),
}
#: Our names of what its file says under others; what it says by our names is not here.
_NAMES = {
    "duration": "duration_s",
    "total_input_tokens": "input_tokens",
    "total_output_tokens": "output_tokens",
}
_SAME = ("completed", "failed", "request_throughput", "output_throughput")
_TIMES = ("mean_ttft_ms", "mean_tpot_ms", "mean_itl_ms", "mean_e2el_ms")


def packages(recipe: Recipe) -> PythonPackages | None:
    """Nothing of its own."""
    del recipe
    return None


def unfit(recipe: Recipe, target: Target, point: protocol.Point) -> str | None:
    """Why it cannot play *point*; pure."""
    lacks = (
        (recipe.engine.name != "vllm", "it comes with vLLM, and the engine is another"),
        (len(target.base_urls) > 1, "it knows one address, and the load went to several"),
        (target.insecure or target.ca_file, "it trusts the system's certificates alone"),
        (point.arrivals == "trace", "it cannot play a trace of ours"),
        (point.ramp_up_s, "it opens all its connections at once (ramp_up_s)"),
        (point.burstiness is None, "it knows no constant interval between requests"),
    )
    return next((why for lacking, why in lacks if lacking), None)


def measure(host: Host, asked: Asked, tell: Teller) -> Opinion:
    """Measure the point with as many requests, at the same rate, as many at once.

    Raises:
        DynoError: it could not be run.
    """
    task = {
        "args": list(arguments(asked)),
        "folder": asked.folder,
        "manifest": host.path("runs", asked.run_id, "manifest.json"),
        "container": containers.name(asked.run_id),
        "api_key_file": asked.target.api_key_file,
        "limit_s": asked.limit_s,
    }
    python = usable(host.fact(Pythons), host.name).path
    end = calling.told(host, _DRIVER, python, task, tell)
    point = asked.point.name
    if "reason" in end:
        return Opinion(NAME, VERSION, point, reason=end["reason"])
    found = figures(end["result"])
    if not found["completed"]:
        why = f"all its {found['failed']:.0f} requests failed"
        return Opinion(NAME, VERSION, point, reason=why)
    return Opinion(NAME, VERSION, point, found, notes=tuple(_notes(asked)))


def arguments(asked: Asked) -> Iterator[str]:
    """What the tool is told of target and load; pure."""
    backend, endpoint = _ENDPOINTS[asked.target.api]
    yield from ("--backend", backend, "--endpoint", endpoint)
    yield from ("--base-url", asked.target.base_urls[0], "--model", asked.target.model)
    yield from _traffic(asked)
    yield from _lengths(asked)
    load = asked.recipe.load
    yield from ("--ignore-eos",) if load.ignore_eos else ()
    if load.temperature is not None:
        yield from ("--temperature", f"{load.temperature:g}")
    if load.extra_body:
        yield from ("--extra-body", json.dumps(load.extra_body))
    yield from ("--percentile-metrics", "ttft,tpot,itl,e2el", "--metric-percentiles", "50,90,99")
    yield "--disable-tqdm"


def figures(result: Mapping[str, Any]) -> dict[str, float]:
    """What its file says, by our names."""
    found = {ours: result[theirs] for theirs, ours in _NAMES.items()}
    found |= {name: result[name] for name in (*_SAME, *_TIMES) if name in result}
    found.setdefault("failed", max(0, result["num_prompts"] - result["completed"]))
    if result["duration"]:
        found["input_throughput"] = result["total_input_tokens"] / result["duration"]
    return {name: float(value) for name, value in found.items()}


def _traffic(asked: Asked) -> Iterator[str]:
    point = asked.point
    yield from ("--num-prompts", str(asked.requests))
    if point.max_concurrency is not None:
        yield from ("--max-concurrency", str(point.max_concurrency))
    if point.ramp_up is not None:
        yield from ("--ramp-up-strategy", point.ramp_up.strategy)
        yield from ("--ramp-up-start-rps", f"{point.ramp_up.start_rps:g}")
        yield from ("--ramp-up-end-rps", f"{point.ramp_up.end_rps:g}")
    rate = point.request_rate
    yield from ("--request-rate", "inf" if rate is None or math.isinf(rate) else f"{rate:g}")
    if point.burstiness not in (None, 1.0):
        yield from ("--burstiness", f"{point.burstiness:g}")


def _lengths(asked: Asked) -> Iterator[str]:
    workload, seed = asked.recipe.load.workload, asked.recipe.load.workload.seed
    ours = asked.ours
    prompt, reply = workload.input_len, workload.output_len
    options: Mapping[str, Any] = workload.options if workload.name == "random" else {}
    if not _as_random(asked):
        prompt = round(ours.total_input_tokens / ours.completed)
        reply = max(1, round(ours.total_output_tokens / ours.completed))
    # Of each point another: the same prompts again would come from the engine's prefix cache.
    own = seed + 1 + zlib.crc32(asked.point.name.encode()) % 2**30
    yield from ("--dataset-name", "random", "--seed", str(own))
    yield from ("--random-input-len", str(prompt), "--random-output-len", str(reply))
    for option in ("range_ratio", "prefix_len"):
        if options.get(option):
            yield from (f"--random-{option.replace('_', '-')}", f"{options[option]:g}")


def _as_random(asked: Asked) -> bool:
    """Whether its random prompts are of the lengths of ours, each and not only in the mean."""
    return asked.recipe.load.workload.name == "random" and asked.target.api == "completions"


def _notes(asked: Asked) -> Iterator[str]:
    if not _as_random(asked):
        yield (
            "Its prompts are random tokens, each as long as ours are in the mean; "
            "a chat template comes on top."
        )
    if asked.target.api == "completions":
        yield "It sends its prompts as text, ours are token ids."
    if asked.recipe.load.temperature is None:
        yield (
            "Up to vLLM 0.14 it asks for temperature 0 where the recipe says none; ours leaves "
            "that to the server."
        )
