"""A model in the cache: what belongs to it, what is there of it, what cannot be used."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from provisioning.model_fetch.failure import Failure

_GIT_LENGTH = 40  # a blob of Git's is named by its sha1, one of LFS by its sha256
_BLOCK = 8 * 2**20


@dataclass(frozen=True)
class Plan:
    """A model at a commit: `files` by path, with their size and the name of their blob.

    `folder` is the model's own in the cache; `ignored` are the patterns of what is left out.
    """

    folder: Path
    commit: str
    files: dict[str, tuple[int, str]]
    ignored: list[str] = field(default_factory=list)

    @property
    def total(self) -> int:
        """Bytes of all files."""
        return sum(size for size, _ in self.files.values())

    def snapshot(self, path: str = "") -> Path:
        """Where a file is to be found, as a link to its blob."""
        return self.folder / "snapshots" / self.commit / path

    def blob(self, name: str) -> Path:
        """Where a file's content lies."""
        return self.folder / "blobs" / name

    def partial(self, name: str) -> Path:
        """Where it lies as long as it is not whole."""
        return self.blob(f"{name}.incomplete")

    def done(self) -> int:
        """Bytes that are there, of whole files and of partial ones."""
        return sum(
            size_of(self.snapshot(path), self.blob(blob), self.partial(blob))
            for path, (_, blob) in self.files.items()
        )


def size_of(*paths: Path) -> int:
    """Bytes of the first of *paths* that is there, links followed; 0 if none is."""
    for path in paths:
        with contextlib.suppress(OSError):
            return path.stat().st_size
    return 0


def cleared(plan: Plan) -> int:
    """Take away what cannot be used: files of a wrong size, and leftovers nobody goes on with.

    Returns the bytes of the leftovers. One that somebody is writing just now stays.
    """
    for path, (size, _) in plan.files.items():
        link = plan.snapshot(path)
        if link.is_symlink() and size_of(link) != size:
            link.resolve().unlink(missing_ok=True)
            link.unlink()
    sizes = {plan.partial(blob): size for size, blob in plan.files.values()}
    removed = 0
    for left in sorted(plan.folder.glob("blobs/*.incomplete")):
        size = size_of(left)
        if size > sizes.get(left, -1) and not in_use(plan, left.name.partition(".")[0]):
            left.unlink(missing_ok=True)
            removed += size
    return removed


def in_use(plan: Plan, blob: str) -> bool:
    """Whether any process is writing that blob just now: the library's own lock tells."""
    path = plan.folder.parent / ".locks" / plan.folder.name / f"{blob}.lock"
    try:
        with path.open() as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def require_room(plan: Plan) -> None:
    """The disk holds what is missing.

    Raises:
        Failure: it does not.
    """
    plan.folder.mkdir(parents=True, exist_ok=True)
    free, missing = shutil.disk_usage(plan.folder).free, plan.total - plan.done()
    if missing > free:
        raise Failure("space", missing=missing, free=free)


def require_whole(plan: Plan, blobs: list[str]) -> None:
    """The content of *blobs* is what their names, which are hashes, say.

    Raises:
        Failure: that of some was not; they are removed.
    """
    with ThreadPoolExecutor() as pool:
        whole = pool.map(is_whole, map(plan.blob, blobs))
        bad = [blob for blob, fits in zip(blobs, whole, strict=True) if not fits]
    for path, (_, blob) in plan.files.items():
        if blob in bad:
            plan.snapshot(path).unlink(missing_ok=True)
            plan.blob(blob).unlink(missing_ok=True)
    if bad:
        raise Failure("damaged", f"{len(bad)} files had another content than the hub says")


def is_whole(blob: Path) -> bool:
    """Whether a blob has the hash that it is named by."""
    if len(blob.name) == _GIT_LENGTH:
        digest = hashlib.sha1(b"blob %d\0" % size_of(blob), usedforsecurity=False)
    else:
        digest = hashlib.sha256()
    with blob.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest() == blob.name
