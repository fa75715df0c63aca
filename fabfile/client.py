"""How wrong the load client is on a host."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from fabfile import console
from fabfile.tasks import task
from provisioning import calibration, site
from provisioning import stack as stacks
from provisioning.errors import UsageError


@task(
    help={
        "stack": "The Pulumi stack; without it, this machine.",
        "streams": "Replies that stream at a time.",
        "tokens-per-s": "Tokens a second, of all streams together; by default a usual rate.",
        "workers": "Processes of the client; by default as many as a run would use.",
        "force": "Measure again, even where the answer is known.",
    }
)
def calibrate(  # noqa: PLR0917 - invoke passes by name
    c: Any,
    stack: str | None = None,
    streams: str = "256",
    tokens_per_s: str | None = None,
    workers: str | None = None,
    force: bool = False,
    json: bool = False,
) -> None:
    """Measure the load client's own error on a host: no model, no GPU, no engine."""
    del c
    argv = ["--ladder", "--streams", _count(streams, "streams")]
    argv += ["--tokens-per-s", _rate(tokens_per_s)] if tokens_per_s else []
    argv += ["--workers", _count(workers, "workers")] if workers else []
    argv += ["--force"] if force else []
    place = site.of_stack(stacks.load(stack)) if stack else site.here()
    try:
        found = calibration.calibrate(place, console.progress(as_json=json), *argv)
    finally:
        place.remote.close()
    if json:
        console.show_json(found)
    else:
        print("\n".join(lines(found, place.remote.name)))


def lines(found: Mapping[str, Any], where: str) -> Iterator[str]:
    """What the agent found, as a small table."""
    known = " (known from an earlier one)" if found.get("cached") else ""
    yield (
        f"Load client on {where}, {found['streams']} streams, "
        f"{found['tokens_per_s']:,.0f} tokens/s{known}"
    )
    yield f"{'':<24}{'mean':>10}{'P99':>10}{'max':>10}"
    for name in ("ttft", "itl"):
        error = found[f"{name}_error_ms"]
        figures = "".join(f"{error[key]:>10.3f}" for key in ("mean", "p99", "max"))
        yield f"{f'{name.upper()} error (ms)':<24}{figures}"
    yield f"{'Several tokens a read':<24}{100 * found['coalesced_share']:>9.1f}%"
    yield f"{'CPU per token (us)':<24}{found['cpu_us_per_token']:>10.2f}"
    highest = found.get("highest_believable_tokens_per_s")
    more = " or more" if found.get("highest_is_lower_bound") else ""
    said = "not even that" if highest is None else f"{highest:,.0f} tokens/s{more}"
    yield f"{'To be believed up to':<24}{said:>10}"
    if found.get("note"):
        yield from textwrap.wrap(found["note"], 80)


def _count(text: str, flag: str) -> str:
    if text.isascii() and text.isdigit() and int(text) > 0:
        return text
    raise UsageError(f"--{flag} is {text!r}, which is no count.", "Give a number above 0.")


def _rate(text: str) -> str:
    try:
        if 0 < float(text) < float("inf"):
            return text
    except ValueError:
        pass
    raise UsageError(f"--tokens-per-s is {text!r}, which is no rate.", "Give a number above 0.")
