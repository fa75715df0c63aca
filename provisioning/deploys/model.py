"""The model on the host: in its cache, by the hub's own tool, or in a folder as it is."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from typing import Any

from provisioning import models
from provisioning.deploys.step import Step, Teller
from provisioning.errors import HostError
from provisioning.facts.model_folder import Folder, ModelFolder
from provisioning.host import Host
from provisioning.model_errors import explained
from provisioning.model_follow import follow
from provisioning.models import HubModel
from provisioning.needs import Needs
from provisioning.operations import model as operations

_AFTER = ("preflight", "disks")


def steps(needs: Needs) -> tuple[Step, ...]:
    """The step ``model``; none where the engine reads no weights, or for a name that no hub has."""
    path = models.source(needs.model).path
    if needs.weights and path is not None:
        return (_in_folder(needs, path),)
    model = models.of(needs)
    return () if model is None else (_from_hub(model),)


def about(host: Host, needs: Needs) -> dict[str, Any]:
    """What the manifest should know of the model: what it is called, which one, and where.

    `commit` is the revision in full. Empty where `steps` has none.
    """
    wanted, model = models.source(needs.model), models.of(needs)
    path = wanted.path
    if needs.weights and path is not None:
        return {"name": wanted.name, "path": path} | _size(host.fact(ModelFolder(path)))
    if model is None:
        return {}
    cached = host.fact(model.cached)
    if not cached.complete:  # as it was before its download ended
        host.forget(model.cached)
        cached = host.fact(model.cached)
    told: dict[str, Any] = {"name": model.name}
    told |= {"revision": model.revision, "commit": cached.commit}
    told |= {"path": model.snapshot(cached.commit), "bytes": cached.bytes, "files": cached.files}
    return told | {"hub": cached.hub, "tool": cached.tool, "download_s": cached.seconds}


def _size(found: Folder | None) -> dict[str, Any]:
    return asdict(found) if found else {}


def _from_hub(model: HubModel) -> Step:
    def run(host: Host, tell: Teller) -> None:
        _bring(host, model, tell)

    applied = (operations.prepared, operations.installer, operations.equipped)
    bound = tuple(partial(operation, model=model) for operation in applied)
    return Step("model", operations.facts(model), None, bound, _AFTER, run)


def _bring(host: Host, model: HubModel, tell: Teller) -> None:
    """Start the download, or join the one that runs; be there at its end.

    Raises:
        HostError: there will be no model; why, and what to do.
    """
    host.gather(*operations.facts(model))
    cached = host.fact(model.cached)
    if cached.complete:
        return
    if host.fact(model.download).state == "running":
        tell(f"{model.name} is being downloaded already")
    elif cached.leftovers:
        left = f"{cached.leftover_bytes / 1e9:.1f} GB in {cached.leftovers} partial files"
        tell(f"{model.name} was begun before: {left}")
    host.apply(operations.started, model, models.token())
    if host.dry_run:
        return
    going = follow(host, model, tell)
    host.forget(model.cached, model.download)
    if going.result.get("state") != "done":
        raise explained(model, going.result, host.name, going.log)
    tell(_finished(going.result))


def _finished(result: dict[str, Any]) -> str:
    size, seconds = result["bytes"] / 1e9, max(result["seconds"], 0.001)
    fetched = max(result["bytes"] - result["resumed"], 0) / 1e6 / seconds
    text = f"{size:.1f} GB in {result['files']} files after {seconds:.0f} s"
    return f"{text}, {fetched:.0f} MB/s, commit {result['commit'][:12]}"


def _in_folder(needs: Needs, path: str) -> Step:
    def check(host: Host) -> None:
        # A disk that is not mounted yet may hold it.
        if needs.needs.data_disk is None:
            _require(host, path)

    def run(host: Host, tell: Teller) -> None:
        del tell
        if not host.dry_run:
            _require(host, path)

    return Step("model", (ModelFolder(path),), check, (), _AFTER, run)


def _require(host: Host, path: str) -> None:
    found = host.fact(ModelFolder(path))
    if found is None or not found.files:
        raise HostError(
            f"There is no model in {path} on {host.name}.",
            "Correct model.path, or leave it out to have the model downloaded.",
            host=host.name,
        )
