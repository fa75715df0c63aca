"""Results come home: pulled while the run goes on, verified by hash when it has ended.

Bytes land in ``<file>.part`` and are appended to after a cut. A file gets its name when its
hash is that of SHA256SUMS, and SHA256SUMS itself is written last: a directory without it is
never a whole run.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import IO

from bench_agent.protocol import CONTROL, SUMS, Frame
from bench_agent.wire import WireError, decode
from provisioning.agent import Agent
from provisioning.errors import CollectError, RemoteError
from provisioning.rundir import ABANDONED, RunDir, cannot_write, durable

_BLOCK = 1 << 20
_ROUNDS = 4
_PART = ".part"

Say = Callable[[str], None]


@dataclass(frozen=True)
class Pulled:
    """One exchange of pulling: whether the run is sealed on the host, and bytes received."""

    sealed: bool
    received: int
    sums_sha256: str


def collect(agent: Agent, run: RunDir, say: Say) -> None:
    """Bring a sealed run home whole; every file, also one that was home before, is verified.

    Raises:
        CollectError: the run is not sealed on the host, or its files never matched.
        RemoteError: the host went out of reach for longer than a few tries.
    """
    with run.exclusive():
        _collect(agent, run, say)


def _collect(agent: Agent, run: RunDir, say: Say) -> None:
    damaged: list[str] = []
    for attempt in range(_ROUNDS):
        try:
            pulled = pull(agent, run)
        except RemoteError as error:
            if attempt == _ROUNDS - 1 or not error.retryable:
                raise
            say("The connection broke; pulling goes on where it was.")
            continue
        if not pulled.sealed:
            raise CollectError(
                f"The run {run.run_id} is not closed on the host yet.",
                "`fab attach` waits for it, `fab stop` ends it.",
                host=agent.remote.name,
            )
        damaged = settle(run.path, pulled.sums_sha256)
        if not damaged:
            (run.path / ABANDONED).unlink(missing_ok=True)  # it is not lost after all
            home_at = datetime.now(UTC).isoformat()
            sums = pulled.sums_sha256
            run.change(state="collected", collected_at=home_at, error=None, sums_sha256=sums)
            return
        say(f"Not as the host made it, pulled again: {', '.join(damaged)}.")
    raise CollectError(
        f"These files of {run.run_id} do not match their sums: {', '.join(damaged)}.",
        "Look at the disk of both machines, then `fab collect` again.",
        host=agent.remote.name,
    )


def pull(agent: Agent, run: RunDir) -> Pulled:
    """Fetch what is not here yet, in one exchange.

    Raises:
        RemoteError: the connection broke; what came stays in ``.part`` files.
        CollectError: no room, or a host that sends nonsense.
    """
    received = 0
    try:
        with agent.send(run.run_id, have(run.path)) as stream:
            for frame in frames(stream):
                if not frame.path:
                    return Pulled(frame.sealed, received, frame.sha256)
                _append(run.path, frame, stream)
                received += frame.length
    except (WireError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise CollectError(
            f"{agent.remote.name} sends something that is no result: {error}.",
            "See `fab logs`.",
            host=agent.remote.name,
        ) from None
    raise RemoteError(
        f"The connection to {agent.remote.name} broke while results came home.",
        "`fab collect` goes on where it was.",
        phase="collect",
        host=agent.remote.name,
    )


def have(folder: Path) -> dict[str, int]:
    """Bytes at home by path, verified files and parts alike (a verified file wins)."""
    sizes: dict[str, int] = {}
    for path in _files(folder):
        name = path.relative_to(folder).as_posix()
        if name.endswith(_PART):
            sizes.setdefault(name.removesuffix(_PART), path.stat().st_size)
        else:
            sizes[name] = path.stat().st_size
    return sizes


def frames(stream: IO[bytes]) -> Iterator[Frame]:
    """The frame headers of a stream; the caller reads the bytes between them.

    Raises:
        WireError: a header is none, or names a path outside of the run.
    """
    while line := stream.readline(_BLOCK):
        frame = decode(Frame, json.loads(line))
        parts = PurePosixPath(frame.path).parts
        if frame.path and (frame.path.startswith("/") or ".." in parts or parts[0] == CONTROL):
            raise WireError(f"a path outside of the run: {frame.path!r}")
        yield frame


def part(folder: Path, name: str) -> Path:
    """Where the bytes of *name* land; a verified file that grew is taken up again."""
    final, partial = folder / name, folder / f"{name}{_PART}"
    if final.exists():
        final.replace(partial)
    return partial


def settle(folder: Path, sums_sha256: str) -> list[str]:
    """Name what matches its sum, drop what does not; the names of what was dropped or is missing.

    When nothing was, SHA256SUMS gets its name too and the run is whole.
    """
    sums = _existing(folder, SUMS)
    if sums is None or _sha256(sums) != sums_sha256:
        _drop(folder, SUMS)
        return [SUMS]
    wanted = parse_sums(sums.read_text())
    bad = sorted(name for name, digest in wanted.items() if not _accept(folder, name, digest))
    if not bad:
        durable(folder / SUMS, sums.read_bytes())
        (folder / f"{SUMS}{_PART}").unlink(missing_ok=True)
    elif (folder / SUMS).exists():
        (folder / SUMS).replace(folder / f"{SUMS}{_PART}")
    return bad


def parse_sums(text: str) -> dict[str, str]:
    """Hex digests by path, from the format of sha256sum."""
    rows = (line.split(maxsplit=1) for line in text.splitlines() if line.strip())
    return {name.lstrip("*"): digest for digest, name in rows}


def damaged(run: RunDir) -> list[str]:
    """Files of a run at home that are missing or not as the host made them.

    SHA256SUMS itself is one when it says nothing, or is not the one that came from the host.
    """
    sums, state = run.path / SUMS, run.state()
    try:
        wanted = parse_sums(sums.read_text())
        known = state.sums_sha256 if state else None
        if not wanted or (known is not None and _sha256(sums) != known):
            return [SUMS]
    except (OSError, ValueError):
        return [SUMS]
    return sorted(n for n, d in wanted.items() if not _matches(run.path / n, d))


def intact(run: RunDir) -> bool:
    """Whether the run is home with every file as the host made it."""
    return run.whole and not damaged(run)


def _accept(folder: Path, name: str, digest: str) -> bool:
    path = _existing(folder, name)
    if path is None or not _matches(path, digest):
        _drop(folder, name)
        return False
    if path.name.endswith(_PART):
        with path.open("rb") as file:
            os.fsync(file.fileno())  # its name must never outlive its bytes
        path.replace(folder / name)
    return True


def _matches(path: Path, digest: str) -> bool:
    return path.is_file() and _sha256(path) == digest


def _existing(folder: Path, name: str) -> Path | None:
    candidates = (folder / name, folder / f"{name}{_PART}")
    return next((path for path in candidates if path.is_file()), None)


def _drop(folder: Path, name: str) -> None:
    for path in (folder / name, folder / f"{name}{_PART}"):
        path.unlink(missing_ok=True)


def _append(folder: Path, frame: Frame, stream: IO[bytes]) -> None:
    """Write the bytes of one frame; trouble with our own disk is told as that."""
    if not frame.length and (folder / frame.path).is_file():
        return  # nothing new of a file that is here
    try:
        path = part(folder, frame.path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("r+b" if path.exists() else "wb") as file:
            file.seek(frame.offset)
            file.truncate()
            left = frame.length
            while left and (block := stream.read(min(left, _BLOCK))):
                file.write(block)
                left -= len(block)
    except OSError as error:
        raise cannot_write(folder, error) from None


def _files(folder: Path) -> Iterator[Path]:
    skip = {"home", CONTROL}
    for path in folder.rglob("*"):
        if path.is_file() and path.relative_to(folder).parts[0] not in skip:
            yield path


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
