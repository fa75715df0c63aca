"""compressa-perf: closed-loop chat requests from threads, results in SQLite.

The release on PyPI reads addresses and key from its configuration; flags that a fork of it has
(``--no-sign``, ``--node_url``, ``--model_name``) it does not know, and it signs nothing.
Its TPOT is the whole latency over the output tokens: `e2el_per_output_token_ms` here.
"""

from __future__ import annotations

from pathlib import Path

from bench_agent import protocol
from bench_agent.protocol import Target
from provisioning.agent import entry_point
from provisioning.host import Host
from provisioning.host_schema import PythonPackages
from provisioning.recipe_schema import Recipe
from provisioning.second_opinion import calling, environment
from provisioning.second_opinion.base import Asked, Opinion, Teller
from provisioning.versions import COMPRESSA, COMPRESSA_WITH

NAME, VERSION = "compressa", COMPRESSA
_DRIVER = Path(__file__).parent / "compressa_driver.py"
#: Its connections are that many, whatever it is told.
_MOST_THREADS = 512
#: TTFT of its first requests, as a multiple of the others': more, and it is worth a note.
_SLOW_START = 1.5


def packages(recipe: Recipe) -> PythonPackages:
    """The tool, with what decides how it measures pinned."""
    asked = recipe.host.python
    index = asked.index_url if asked else None
    return PythonPackages(
        packages=[f"compressa-perf=={COMPRESSA}", *COMPRESSA_WITH], index_url=index
    )


def unfit(recipe: Recipe, target: Target, point: protocol.Point) -> str | None:
    """Why it cannot play *point*; pure."""
    at_once = point.max_concurrency or 0
    rated = point.request_rate is not None or point.ramp_up or point.arrivals == "trace"
    more = recipe.load.extra_body or recipe.load.temperature is not None
    lacks = (
        (target.api != "chat", "it asks for chat completions alone (load.api: chat)"),
        (len(target.base_urls) > 1, "it knows one address, and the load went to several"),
        (target.insecure or target.ca_file, "it trusts the system's certificates alone"),
        (rated, "it knows no request rates, only requests at once"),
        (at_once > _MOST_THREADS, f"it is a thread a request, and {at_once} are too many"),
        (more, "it cannot send load.extra_body or load.temperature"),
    )
    return next((why for lacking, why in lacks if lacking), None)


def measure(host: Host, asked: Asked, tell: Teller) -> Opinion:
    """Measure the point with as many requests, and as many at once.

    Raises:
        DynoError: it could not be run.
    """
    folder = environment.path(host, packages(asked.recipe))
    point = asked.point.name
    stream = f"second-opinion/{NAME}/{point}"
    agent = (entry_point(host.workdir), "prompts", "--workdir", host.workdir)
    wanted = ("--run", asked.run_id, "--stream", stream, "--count", str(asked.requests))
    task = {
        "program": f"{folder}/bin/compressa-perf",
        "prompts": (*agent, *wanted),
        "folder": asked.folder,
        "base_url": asked.target.base_urls[0],
        "model": asked.target.model,
        "api_key_file": asked.target.api_key_file,
        "name": f"{asked.run_id} {point}",
        "requests": asked.requests,
        "at_once": asked.at_once,
        "limit_s": asked.limit_s,
    }
    end = calling.told(host, _DRIVER, f"{folder}/bin/python", task, tell)
    if "reason" in end:
        return Opinion(NAME, VERSION, point, reason=end["reason"])
    return Opinion(NAME, VERSION, point, end["figures"], notes=tuple(_notes(asked, end)))


def _notes(asked: Asked, end: dict[str, object]) -> list[str]:
    notes = []
    if asked.recipe.load.ignore_eos:
        notes.append("It cannot have the engine ignore the end of a reply, as ours does.")
    lengths = end.get("lengths")
    if isinstance(lengths, list) and len(lengths) > 1:
        notes.append(f"It asks for {lengths[-1]} tokens each time; ours for {lengths[0]} or more.")
    both = end.get("rounds")
    if isinstance(both, list) and both[0] > _SLOW_START * both[1]:
        notes.append(
            f"Its first {asked.at_once} requests bear its own start: their TTFT is "
            f"{both[0]:.1f} ms on average, and {both[1]:.1f} ms of the others."
        )
    if end.get("trouble"):
        notes.append(f"Its figures are whole, but {end['trouble']}.")
    return notes
