"""From a checkpoint to a smaller one, by llm-compressor's own ``oneshot``."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import Any

from provisioning.model_fetch.failure import Failure
from provisioning.model_fetch.texts import write_json

#: What llm-compressor calls the schemes, and how large a model is afterwards, of 16-bit weights.
SCHEMES = {"fp8-dynamic": ("FP8_DYNAMIC", 0.6)}
RECEIPT = "dyno.json"


def converted(folder: Path, task: dict[str, Any], token: str | None) -> dict[str, Any]:
    """Make the model; bytes, number of files and what made it.

    Raises:
        Failure: it cannot be made.
    """
    del folder, token
    began = time.monotonic()
    source, target = Path(task["source"]), Path(task["target"])
    made = target.with_name(f"{target.name}.new")
    shutil.rmtree(made, ignore_errors=True)
    made.parent.mkdir(parents=True, exist_ok=True)
    require_room(source, made.parent, task["scheme"])
    tool = compress(source, made, task)
    about = {
        **task["about"],
        "tool": tool,
        "seconds": round(time.monotonic() - began, 3),
    }
    files = dict(present(made))
    write_json(made / RECEIPT, {**about, "files": files})
    opened(made)
    shutil.rmtree(target, ignore_errors=True)  # one whose files are not those of its receipt
    made.rename(target)
    return {**about, "bytes": sum(files.values()), "files": len(files)}


def compress(source: Path, made: Path, task: dict[str, Any]) -> str:
    """Do it; the name and version of what did."""
    # No hub is asked: all there is lies in *source*.
    os.environ |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "DO_NOT_TRACK": "1"}
    print("loading llm-compressor", flush=True)
    from importlib.metadata import version  # noqa: PLC0415 - of its environment alone

    from llmcompressor import oneshot  # type: ignore[import-not-found] # noqa: PLC0415 - on the host
    from llmcompressor.modifiers.quantization import (  # type: ignore[import-not-found] # noqa: PLC0415 - as above
        QuantizationModifier,
    )

    scheme, _ = SCHEMES[task["scheme"]]
    modifier = QuantizationModifier(targets="Linear", scheme=scheme, ignore=task["ignore"])
    print(f"converting {source}", flush=True)
    oneshot(model=str(source), recipe=modifier, output_dir=str(made))
    return f"llmcompressor {version('llmcompressor')}"


def require_room(source: Path, folder: Path, scheme: str) -> None:
    """The disk holds what is to be made.

    Raises:
        Failure: it does not.
    """
    missing = int(sum(size for _, size in present(source)) * SCHEMES[scheme][1])
    free = shutil.disk_usage(folder).free
    if missing > free:
        raise Failure("space", missing=missing, free=free)


def present(folder: Path) -> list[tuple[str, int]]:
    """Path and size of every file below *folder*, links followed."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return [(path.relative_to(folder).as_posix(), path.stat().st_size) for path in paths]


def opened(folder: Path) -> None:
    """On the disk, and for everybody to read: containers are another user."""
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
        handle = os.open(path, os.O_RDONLY)
        os.fsync(handle)
        os.close(handle)
