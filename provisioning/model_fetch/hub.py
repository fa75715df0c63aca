"""From the hub into the cache, by huggingface_hub's own ``snapshot_download``."""

from __future__ import annotations

import time
import traceback
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from provisioning.model_fetch import plan as plans
from provisioning.model_fetch.failure import failure_of
from provisioning.model_fetch.plan import Plan
from provisioning.model_fetch.texts import write_json, write_text

TRIES = 3  # without any progress between them
PAUSE_S = 2.0
#: The same weights in other formats: left out where there are safetensors.
_DOUBLES = [
    *(f"*.{kind}" for kind in ("bin", "pth", "gguf", "h5", "msgpack", "ot", "onnx", "onnx_data")),
    *(f"{folder}/*" for folder in ("original", "metal", "onnx", "openvino", "coreml")),
]

Task = dict[str, Any]


def fetch(task: Task, token: str | None, made: list[Plan]) -> dict[str, Any]:
    """Bring the model; its commit, bytes, number of files, and what else there is to know.

    Each plan is appended to *made*. What may pass is tried again, but not the first question:
    a hub that is out of reach is told at once.

    Raises:
        Failure: the model cannot be brought.
    """
    began, tries = time.monotonic(), 0
    while True:
        before = made[-1].done() if made else 0
        try:
            return brought(task, token, made, began)
        except Exception as error:
            failure = failure_of(error, with_token=token is not None)
            tries = 1 if made and made[-1].done() > before else tries + 1
            hopeless = not failure.passing or (failure.kind == "egress" and not made)
            if hopeless or tries >= TRIES:
                if failure.kind == "other":
                    traceback.print_exc()
                raise failure from error
        print(f"{failure.kind}: {failure.detail}; trying again", flush=True)
        time.sleep(PAUSE_S)


def brought(task: Task, token: str | None, made: list[Plan], began: float) -> dict[str, Any]:
    """One try: ask, clear, download, look, write the receipt."""
    from huggingface_hub import __version__, snapshot_download  # noqa: PLC0415 - slow to import

    plan = planned(task, token)
    removed = plans.cleared(plan)
    resumed = {blob: plans.size_of(plan.partial(blob)) for _, blob in plan.files.values()}
    made.append(plan)
    plans.require_room(plan)
    snapshot_download(
        task["name"],
        revision=plan.commit,
        cache_dir=plan.folder.parent,
        endpoint=task["hub"],
        token=token or False,
        ignore_patterns=plan.ignored or None,
    )
    plans.require_whole(plan, [blob for blob, size in resumed.items() if size])
    about = {
        "commit": plan.commit,
        "hub": task["hub"],
        "tool": f"huggingface_hub {__version__}",
        "seconds": round(time.monotonic() - began, 3),
    }
    files = dict(present(plan.snapshot()))
    if task["revision"] != plan.commit:
        write_text(plan.folder / "refs" / (task["revision"] or "main"), plan.commit)
    write_json(receipt(task, plan), {**about, "files": files})
    figures = {"resumed": sum(resumed.values()), "removed": removed}
    return {**about, **figures, "bytes": sum(files.values()), "files": len(files)}


def planned(task: Task, token: str | None) -> Plan:
    """Ask the hub what the model is made of."""
    from huggingface_hub import HfApi  # noqa: PLC0415 - slow to import

    name, revision = task["name"], task["revision"]
    api = HfApi(endpoint=task["hub"], token=token or False)
    info = api.model_info(name, revision=revision, files_metadata=True, timeout=30.0)
    siblings = info.siblings or []
    ignored = _DOUBLES if any(s.rfilename.endswith(".safetensors") for s in siblings) else []
    folder = Path(task["home"], "hub", "models--" + name.replace("/", "--"))
    return Plan(folder, str(info.sha), dict(chosen(siblings, ignored)), ignored)


def chosen(siblings: list[Any], ignored: list[str]) -> Iterator[tuple[str, tuple[int, str]]]:
    """The files to bring, each with its size and the blob that will hold it."""
    for sibling in siblings:
        path = str(sibling.rfilename)
        if not any(fnmatch(path, pattern) for pattern in ignored):
            blob = sibling.lfs.sha256 if sibling.lfs else sibling.blob_id
            yield path, (sibling.size or 0, str(blob))


def present(folder: Path) -> Iterator[tuple[str, int]]:
    """Path and size of every file below *folder*, links followed."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield path.relative_to(folder).as_posix(), path.stat().st_size


def receipt(task: Task, plan: Plan) -> Path:
    """Where it is written that the model is whole."""
    return Path(task["home"], "dyno", plan.folder.name, f"{plan.commit}.json")
