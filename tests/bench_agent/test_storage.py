"""Tests of files that are whole or not there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench_agent import storage
from tests.bench_agent.records import record


def test_a_file_is_replaced_in_one_step(tmp_path: Path) -> None:
    """Nothing half-written stays beside it."""
    path = tmp_path / "a.json"
    storage.write_json(path, {"a": 1})
    storage.write_json(path, {"a": 2}, durable=False)

    assert ({"a": 2}, ["a.json"]) == (storage.read_json(path), [p.name for p in tmp_path.iterdir()])


def test_a_file_that_does_not_fit_leaves_no_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was written of it would take the room of others."""

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(storage.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        storage.write(tmp_path / "a", b"abc")

    assert [] == list(tmp_path.iterdir())


def test_what_is_large_is_written_in_pieces(tmp_path: Path) -> None:
    """Whole or not there, as all the rest; also when making a piece fails."""
    path = tmp_path / "a"

    def broken() -> Iterator[bytes]:
        yield b"x"
        raise OSError(28, "No space left on device")

    storage.write_pieces(path, (piece for piece in (b"ab", b"", b"c")))
    with pytest.raises(OSError, match="No space"):
        storage.write_pieces(path, broken())

    assert (b"abc", ["a"]) == (path.read_bytes(), [p.name for p in tmp_path.iterdir()])


def test_what_cannot_be_read_is_nothing(tmp_path: Path) -> None:
    """No file, or no JSON."""
    (tmp_path / "torn").write_text('{"a"')

    assert (None, None) == (
        storage.read_json(tmp_path / "torn"),
        storage.read_json(tmp_path / "missing"),
    )


def test_lines_are_added(tmp_path: Path) -> None:
    """One after the other."""
    storage.append(tmp_path / "log", b"a\n")
    storage.append(tmp_path / "log", b"b\n")

    assert b"a\nb\n" == (tmp_path / "log").read_bytes()


def test_a_full_disk_is_an_error() -> None:
    """It is not silently dropped."""
    with pytest.raises(OSError, match="No space left"):
        storage.append(Path("/dev/full"), b"a\n")


def test_checksums_are_sha256(tmp_path: Path) -> None:
    """As sha256sum prints them."""
    (tmp_path / "a").write_bytes(b"abc")

    assert hashlib.sha256(b"abc").hexdigest() == storage.sha256(tmp_path / "a")


@given(data=st.binary(max_size=60))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whole_lines_end_at_the_last_line_end(tmp_path: Path, data: bytes) -> None:
    """However long the rest is, and in however many steps it is searched."""
    path = tmp_path / "a"
    path.write_bytes(data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(storage, "_BLOCK", 7)

        assert data.rfind(b"\n") + 1 == storage.whole_lines(path)


def test_a_torn_line_is_dropped(tmp_path: Path) -> None:
    """And only that one."""
    path = tmp_path / "a"
    path.write_bytes(b"1\n2\n3")
    storage.drop_torn_line(path)
    storage.drop_torn_line(path)

    assert b"1\n2\n" == path.read_bytes()


def test_records_come_back_as_they_were(tmp_path: Path) -> None:
    """Torn lines are no records, wherever they are."""
    path = tmp_path / "records.jsonl"
    lines = [json.dumps(record(i).__dict__) for i in range(2)]
    path.write_text("\n".join([lines[0], lines[0][:40] + lines[0], lines[1], lines[0][:40]]))

    assert [record(0), record(1)] == list(storage.read_records(path))
    assert [] == list(storage.read_records(tmp_path / "missing"))


def test_a_record_is_found_again_where_it_lies(tmp_path: Path) -> None:
    """With the reply in it, where replies were kept; lines that are no objects are passed over."""
    path = tmp_path / "records.jsonl"
    lines = [json.dumps(record(i, text=text).__dict__) for i, text in enumerate(("ä", None))]
    path.write_text("".join(f"{line}\n" for line in (lines[0], "7", lines[1])))
    found = list(storage.locate_records(path))

    assert [0, 1] == [each.index for _, each in found]
    with path.open("rb") as file:
        assert ["", "ä"] == [storage.text_at(file, at) for at, _ in reversed(found)]
