"""A model that is made on the host before it is served: detached; who comes later joins it."""

from __future__ import annotations

from functools import partial
from typing import Any

from provisioning import conversions
from provisioning.conversions import Conversion
from provisioning.deploys.step import Step, Teller
from provisioning.errors import HostError
from provisioning.facts.download import Going
from provisioning.host import Host
from provisioning.model_follow import watch
from provisioning.needs import Needs
from provisioning.operations import convert as operations

_AGAIN = "What it is made from is kept: run it again."


def steps(needs: Needs) -> tuple[Step, ...]:
    """The converter while the model comes, then the conversion; nothing for a recipe without."""
    wanted = conversions.of(needs)
    if wanted is None:
        return ()
    equip = (operations.installer, operations.equipped)
    bound = tuple(partial(operation, wanted=wanted) for operation in equip)
    facts = operations.facts(wanted)

    def run(host: Host, tell: Teller) -> None:
        _make(host, wanted, tell)

    return (
        Step("converter", facts, None, bound, ("preflight", "disks", "python_env")),
        Step("convert", facts, None, (), ("model", "converter", "gpu"), run),
    )


def about(host: Host, needs: Needs) -> dict[str, Any]:
    """What the manifest should know: from what, how, by what it was made, and where it is."""
    wanted = conversions.of(needs)
    source = wanted.source(host) if wanted else None
    if wanted is None or source is None:
        return {}
    receipt = dict(host.fact(wanted.made).get(wanted.name(source), {}))
    files = receipt.pop("files", {})
    counted = {"bytes": sum(files.values()), "files": len(files)}
    return {"path": wanted.target(source)} | receipt | counted


def _make(host: Host, wanted: Conversion, tell: Teller) -> None:
    """Begin, or join the one that is at work; be there at its end.

    Raises:
        HostError: there will be no such model; why, and what to do.
    """
    host.gather(*operations.facts(wanted))
    if operations.there(host, wanted):
        return
    source = wanted.source(host)
    if source is None:  # it came just now, or would in a dry run
        host.forget(*operations.facts(wanted))
        source = wanted.source(host)
    if source is None:
        return
    job = wanted.going(source)
    if host.fact(job).state == "running":
        tell(f"{wanted.origin} is being converted already")
    else:
        host.apply(operations.prepared, wanted, source)
        host.execute(*operations.started(wanted, source), label="convert.started")
    if host.dry_run:
        return
    going = watch(host, job, _said, tell)
    host.forget(wanted.made, job)
    if going.result.get("state") != "done":
        raise explained(wanted, going, host.name)
    tell(_finished(going.result))


def _said(going: Going) -> str:
    """The newest of what the converter says: its bars are lines that are written over."""
    lines = going.log.replace("\r", "\n").strip().splitlines()
    return " ".join(lines[-1].split())[:120] if lines else ""


def _finished(result: dict[str, Any]) -> str:
    size, seconds = result["bytes"] / 1e9, result["seconds"]
    return f"{size:.2f} GB in {result['files']} files after {seconds:.0f} s, by {result['tool']}"


def explained(wanted: Conversion, going: Going, host: str) -> HostError:
    """Why there is no model: empty result: it was killed."""
    result, what = going.result, f"The conversion of {wanted.origin} to {wanted.scheme}"
    if not result:
        return HostError(
            f"{what} was killed before its end: the host restarted, or it had too little memory.",
            f"It needs as much memory as the model is large. {_AGAIN}",
            host=host,
            log=going.log,
        )
    if result.get("kind") == "space":
        missing, free = result["missing"] / 1e9, result["free"] / 1e9
        return HostError(
            f"{what} needs {missing:.2f} GB of disk, and there is room for {free:.2f} GB.",
            f"Make room there, or ask for a disk (host.data_disk). {_AGAIN}",
            host=host,
        )
    return HostError(
        f"{what} failed: {result.get('detail', '').rstrip('.')}.",
        "Correct model.convert, or choose a model that is published in that precision.",
        host=host,
        log=going.log,
    )
