"""Tests of what is written when a point or a run is over."""

from __future__ import annotations

import errno
import json
import random
import time
import tracemalloc
from collections.abc import Iterable
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest

from bench_agent import storage
from bench_agent.closing import close_point, close_run
from bench_agent.layout import RunDir
from bench_agent.observed import Observed
from bench_agent.protocol import Manifest, PointSummary, RequestRecord, RunSummary
from bench_agent.summary import Measured
from bench_agent.wire import decode
from tests.bench_agent.records import MS, failed, record, run_spec

POINT = "00-c2"
NEW_FIELDS = ("asked_tokens", "asked_prompt_tokens", "tokens_from", "text")


def write(run: RunDir, records: Iterable[RequestRecord], *, without: tuple[str, ...] = ()) -> None:
    """Records as a worker leaves them."""
    run.point(POINT).mkdir(parents=True)
    with run.records(POINT).open("w") as lines:
        for each in records:
            plain = {k: v for k, v in each.__dict__.items() if k not in without}
            lines.write(json.dumps(plain, separators=(",", ":")) + "\n")


def vllm(run: RunDir) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run.point(POINT) / "vllm.json").read_text())
    return found


def test_a_point_is_closed_from_its_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its summary is on disk as it is returned, and vllm.json beside it agrees."""
    spec, run = run_spec(), RunDir(tmp_path)
    write(run, [record(1), record(0)])
    seen = Observed(server={"preemptions": 0}, gpu={"energy_j": 6.0, "energy_valid": True})
    monkeypatch.setattr("bench_agent.observed.read", lambda *_: seen)
    measured = Measured(0, 1000 * MS, workers=1)
    found = close_point(run, spec, spec.points[0], measured, None)
    written = decode(PointSummary, storage.read_json(run.point(POINT) / "summary.json"))

    assert found == written
    assert (2, {"preemptions": 0}) == (found.completed, found.server)
    assert found.gpu is not None
    assert 1.0 == found.gpu["joules_per_output_token"] == 6.0 / found.total_output_tokens
    assert (6, [[0.01, 0.01]] * 2) == (vllm(run)["total_output_tokens"], vllm(run)["itls"])
    assert vllm(run)["llm_dyno"]["gpu"] == found.gpu


def test_records_of_old_are_still_read(tmp_path: Path) -> None:
    """They say nothing of what was asked for."""
    spec, run = run_spec(), RunDir(tmp_path)
    write(run, [record(0), record(1)], without=NEW_FIELDS)
    found = close_point(run, spec, spec.points[0], None, None)

    assert (2, True) == (found.completed, found.verdict.valid)


def test_texts_stand_in_their_requests_places(tmp_path: Path) -> None:
    """Where they were kept; a failed request has what came of it."""
    run = RunDir(tmp_path)
    spec = replace(run_spec(), keep_texts=True)
    write(run, [record(1, text='zwei "2"\n'), record(0, text="eins"), failed(2)])
    close_point(run, spec, spec.points[0], None, None)

    assert ["eins", 'zwei "2"\n', ""] == vllm(run)["generated_texts"]


def test_a_point_without_records_is_closed_too(tmp_path: Path) -> None:
    """The process died before there were any."""
    run = RunDir(tmp_path)
    run.point(POINT).mkdir(parents=True)
    spec = replace(run_spec(), keep_texts=True)
    found = close_point(run, spec, spec.points[0], None, None)

    assert (0, False, []) == (found.requested, found.verdict.valid, vllm(run)["itls"])


def test_what_does_not_fit_may_be_left_out_of_a_failed_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The summary is small; vllm.json is not."""

    def full(*_args: object, **_options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    spec, run = run_spec(), RunDir(tmp_path)
    write(run, [record(0), record(1)])
    monkeypatch.setattr(storage, "write_pieces", full)
    monkeypatch.setattr(storage, "write_json", lambda path, _value: path.touch())
    close_point(run, spec, spec.points[0], None, None, lenient=True)

    assert ["records.jsonl", "summary.json"] == sorted(
        path.name for path in run.point(POINT).iterdir()
    )
    with pytest.raises(OSError, match="No space"):
        close_point(run, spec, spec.points[0], None, None)


def test_a_run_is_closed_with_what_the_probe_and_the_search_found(tmp_path: Path) -> None:
    """In its summary, under the sums."""
    spec, run = run_spec(), RunDir(tmp_path)
    close_run(
        run,
        spec,
        state="incomplete",
        started_ns=1,
        ended_ns=2,
        points=[],
        calibration=None,
        phases={},
        secret=None,
        server={"usage": True},
        search={"over": "request_rate", "highest": 3.5},
    )
    summary = decode(RunSummary, storage.read_json(run.summary))

    assert ({"usage": True}, 3.5) == (summary.server, (summary.search or {})["highest"])
    assert "incomplete" == decode(Manifest, storage.read_json(run.manifest)).state
    assert "summary.json" in run.sums.read_text()


def many(requests: int, tokens: int) -> Iterable[RequestRecord]:
    """A closed loop of 64 streams, in the order in which they end."""
    dice = random.Random(1)
    for index in range(requests):
        sent = 1_795_260_845_000_000_000 + index // 64 * tokens * 10 * MS
        gaps = [50 * MS, *(int(dice.gauss(10, 0.6) * MS) for _ in range(tokens - 1))]
        offsets = tuple(accumulate(gaps))
        yield record(
            index,
            due_ns=sent,
            sent_ns=sent,
            done_ns=sent + offsets[-1] + MS,
            first_chunk_ns=sent + offsets[0],
            last_chunk_ns=sent + offsets[-1],
            chunk_ns=offsets,
            output_tokens=tokens,
            reads=tokens,
        )


@pytest.mark.integration
def test_a_large_point_is_closed_in_little_memory_and_time(tmp_path: Path) -> None:
    """50 bytes a token at most, which are 150 MB at three million, and a few microseconds.

    The time is for a busy machine that traces nothing; memory is traced in a second go.
    """
    run = RunDir(tmp_path)
    requests, tokens = 1500, 256
    spec = run_spec(ignore_eos=False)
    write(run, many(requests, tokens))
    begin = time.process_time()
    found = close_point(run, spec, spec.points[0], None, None)
    took = time.process_time() - begin
    tracemalloc.start()
    try:
        close_point(run, spec, spec.points[0], None, None)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert requests * tokens == found.total_output_tokens
    assert found.steady is not None
    assert peak / (requests * tokens) < 50
    assert took / (requests * tokens) < 5e-6
