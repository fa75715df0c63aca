"""What makes a result directory whole: summaries, manifest, the server's log, checksums."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from bench_agent import identity, observed, storage
from bench_agent.layout import RunDir
from bench_agent.protocol import SCHEMA, Manifest, Point, PointSummary, RunSpec
from bench_agent.summary import Measured, measured_from, run_summary, summarise
from bench_agent.traffic import Traffic
from bench_agent.vllm_result import pieces
from bench_agent.wire import decode, encode

REDACTED = b"[REDACTED]"


def close_point(
    run: RunDir,
    spec: RunSpec,
    point: Point,
    measured: Measured | None = None,
    calibration: dict[str, Any] | None = None,
    *,
    lenient: bool = False,
) -> PointSummary:
    """Write summary.json and vllm.json of a point from its records and telemetry on disk.

    *measured* None: the process that knew more is gone. Where there is no room for vllm.json,
    which is large, *lenient* leaves it out.
    """
    records = run.records(point.name)
    traffic = Traffic(storage.locate_records(records))
    known = measured or measured_from(traffic)
    seen = observed.read(run.telemetry, point.name, known.started_ns, known.ended_ns)
    summary = summarise(spec, point, traffic, known, calibration=calibration, observed=seen)
    folder = run.point(point.name)
    storage.write_json(folder / "summary.json", encode(summary))
    try:
        with records.open("rb") if spec.keep_texts and len(traffic) else nullcontext() as texts:
            text = None if texts is None else lambda row: storage.text_at(texts, traffic.at[row])
            storage.write_pieces(folder / "vllm.json", pieces(spec, summary, traffic, text))
    except OSError:
        if not lenient:
            raise
    return summary


def closed_points(run: RunDir) -> list[str]:
    """The points that were through when they were closed, in their order."""
    return storage.read_json(run.done) or []


def stored(run: RunDir, name: str) -> PointSummary:
    """The summary of a point that was closed."""
    return decode(PointSummary, storage.read_json(run.point(name) / "summary.json"))


def close_points(
    run: RunDir,
    spec: RunSpec,
    calibration: dict[str, Any] | None = None,
    known: Sequence[PointSummary] = (),
    *,
    lenient: bool = False,
) -> list[PointSummary]:
    """The points of a run that ends before its time: those that are *known*, or were through, as
    they were closed; of the others what their records tell.
    """  # noqa: D205 - one thought
    closed = closed_points(run)
    summaries = {summary.point.name: summary for summary in known}
    found: list[PointSummary] = []
    for point in spec.points:
        if point.name in summaries:
            found.append(summaries[point.name])
        elif point.name in closed:
            found.append(stored(run, point.name))
        elif run.records(point.name).exists():
            storage.drop_torn_line(run.records(point.name))
            found.append(close_point(run, spec, point, None, calibration, lenient=lenient))
    planned = {point.name for point in spec.points}
    searched = [summary for name, summary in summaries.items() if name not in planned]
    return (
        found
        + searched
        + [stored(run, name) for name in closed if name not in planned | summaries.keys()]
    )


def close_run(
    run: RunDir,
    spec: RunSpec,
    *,
    state: str,
    started_ns: int,
    ended_ns: int,
    points: Sequence[PointSummary],
    calibration: dict[str, Any] | None,
    phases: dict[str, float],
    secret: str | None,
    server: dict[str, Any] | None = None,
    search: dict[str, Any] | None = None,
    why: str = "",
) -> None:
    """Write everything that a result directory holds beside its points; seal it last.

    *why*: what ended it before its time, as a sentence.
    """
    if not run.recipe.exists():
        run.recipe.write_text(spec.recipe_yaml)
    summary = run_summary(
        spec,
        state,
        started_ns=started_ns,
        ended_ns=ended_ns,
        points=points,
        calibration=calibration,
        server=server,
        search=search,
        why=why,
    )
    storage.write_json(run.summary, encode(summary))
    plain = encode(spec)
    context = plain.pop("context")
    manifest = Manifest(
        schema=SCHEMA,
        run_id=spec.run_id,
        stack=spec.stack,
        recipe=spec.recipe,
        state=state,
        started_ns=started_ns,
        ended_ns=ended_ns,
        agent=identity.agent(),
        host=identity.host(),
        spec=plain,
        context=context,
        phases=phases,
    )
    storage.write_json(run.manifest, encode(manifest))
    copy_log(spec.target.log, run.server_log, secret)
    seal(run)


def copy_log(source: str | None, to: Path, secret: str | None) -> None:
    """Copy the engine's log without the API key; nothing when there is no log.

    A log that cannot be read, or does not fit on the disk, is no reason to lose the result.
    """
    if source is None or not Path(source).is_file():
        return
    try:
        with Path(source).open("rb") as lines, to.open("wb") as copy:
            for line in lines:
                copy.write(line.replace(secret.encode(), REDACTED) if secret else line)
    except OSError as error:
        print(f"The engine's log {source} could not be copied: {error.strerror}.", flush=True)
        to.unlink(missing_ok=True)


def seal(run: RunDir) -> None:
    """Write SHA256SUMS over all files of the result: the last thing that is done to it."""
    lines = [f"{storage.sha256(run.path / name)}  {name}\n" for name in run.files()]
    storage.write(run.sums, "".join(lines).encode())


def read_secret(spec: RunSpec) -> str | None:
    """The server's API key.

    Raises:
        OSError: the key file cannot be read.
    """
    if spec.target.api_key_file is None:
        return None
    return Path(spec.target.api_key_file).read_text().strip() or None
