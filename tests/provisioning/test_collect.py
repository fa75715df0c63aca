"""Results come home whole or not at all."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

import pytest

from bench_agent.protocol import SUMS, Frame
from provisioning.collect import collect, damaged, have, parse_sums, pull
from provisioning.errors import CollectError, RemoteError
from provisioning.rundir import RunDir

RUN = "20261121T090000Z-rehearsal-0a1b"
RECORDS = b"".join(b'{"index": %d}\n' % i for i in range(1000))
FILES = {
    "manifest.json": b'{"schema": 1}',
    "points/00-c4/records.jsonl": RECORDS,
    "points/00-c4/summary.json": b"{}",
}


class _Remote:
    name = "test-host"


@dataclass
class FakeAgent:
    """The sending side, from memory; `cut_after` bytes the connection breaks once a try."""

    files: dict[str, bytes]
    sealed: bool = True
    cuts: list[int] = field(default_factory=list)
    asked: list[dict[str, int]] = field(default_factory=list)
    flips: list[str] = field(default_factory=list)
    remote: Any = field(default_factory=_Remote)

    @contextmanager
    def send(self, run_id: str, had: Mapping[str, int]) -> Iterator[IO[bytes]]:
        self.asked.append(dict(had))
        data = self._stream(had)
        yield io.BytesIO(data[: self.cuts.pop(0)] if self.cuts else data)

    def _stream(self, had: Mapping[str, int]) -> bytes:
        sums = "".join(f"{_sha(data)}  {name}\n" for name, data in self.files.items()).encode()
        files = self.files | ({SUMS: sums} if self.sealed else {})
        stream = b""
        for name, data in files.items():
            offset = had.get(name, 0) if had.get(name, 0) <= len(data) else 0
            rest = data[offset:]
            if name in self.flips:
                self.flips.remove(name)
                rest = bytes([rest[0] ^ 1]) + rest[1:]
            if rest:
                stream += _header(Frame(name, offset, len(rest))) + rest
        return stream + _header(Frame("", sealed=self.sealed, sha256=_sha(sums)))


def _header(frame: Frame) -> bytes:
    return json.dumps(asdict(frame)).encode() + b"\n"


def _sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    return RunDir(tmp_path / "local" / RUN)


def _home(run: RunDir) -> dict[str, bytes]:
    return {
        path.relative_to(run.path).as_posix(): path.read_bytes()
        for path in run.path.rglob("*")
        if path.is_file() and path.parent.name != "home" and path.name != SUMS
    }


def _collect(agent: FakeAgent, run: RunDir) -> list[str]:
    said: list[str] = []
    collect(agent, run, said.append)  # type: ignore[arg-type]  # a stand-in by shape
    return said


def test_a_sealed_run_comes_home_whole(run: RunDir) -> None:
    """Every file has its name and bytes, and the sums are there."""
    _collect(FakeAgent(FILES), run)

    assert (FILES, True) == (_home(run), run.whole)


def test_a_whole_run_is_said_to_be_collected(run: RunDir) -> None:
    """The controller's own account follows."""
    _collect(FakeAgent(FILES), run)

    state = run.state()
    assert state is not None
    assert "collected" == state.state


def test_a_cut_is_resumed_where_it_was(run: RunDir) -> None:
    """After a cut in the middle of a file only its rest is asked for."""
    agent = FakeAgent(FILES, cuts=[600])

    said = _collect(agent, run)

    received = agent.asked[1]["points/00-c4/records.jsonl"]
    assert 0 < received < len(RECORDS)
    assert (FILES, ["The connection broke; pulling goes on where it was."]) == (_home(run), said)


@pytest.mark.parametrize("at", range(0, 900, 37))
def test_a_cut_anywhere_never_looks_whole(run: RunDir, at: int) -> None:
    """Wherever the stream is cut, the directory is not a whole run and the pull says so."""
    run.path.mkdir(parents=True)

    with pytest.raises((RemoteError, CollectError)):
        pull(FakeAgent(FILES, cuts=[at]), run)  # type: ignore[arg-type]  # a stand-in by shape

    assert not run.whole


@pytest.mark.parametrize("name", [*FILES, SUMS])
def test_a_flipped_bit_is_noticed_said_and_pulled_again(run: RunDir, name: str) -> None:
    """A file that differs from its sum is dropped and fetched anew."""
    said = _collect(FakeAgent(FILES, flips=[name]), run)

    assert (FILES, [f"Not as the host made it, pulled again: {name}."]) == (_home(run), said)


@pytest.mark.parametrize("name", list(FILES))
def test_damage_at_home_is_repaired(run: RunDir, name: str) -> None:
    """A bit that flips after the run came home is found by its sum and mended from the host."""
    agent = FakeAgent(FILES)
    _collect(agent, run)
    data = (run.path / name).read_bytes()
    (run.path / name).write_bytes(bytes([data[0] ^ 1]) + data[1:])

    assert [name] == damaged(run)
    _collect(agent, run)

    assert (FILES, []) == (_home(run), damaged(run))


def test_a_missing_file_is_fetched_again(run: RunDir) -> None:
    """A file that somebody deleted at home is noticed and comes back."""
    agent = FakeAgent(FILES)
    _collect(agent, run)
    (run.path / "manifest.json").unlink()

    assert ["manifest.json"] == damaged(run)
    _collect(agent, run)

    assert FILES == _home(run)


def test_damage_that_stays_is_an_error_and_no_whole_run(run: RunDir) -> None:
    """A host whose file never matches its sum ends in CollectError, and nothing looks whole."""
    with pytest.raises(CollectError, match=r"manifest\.json"):
        _collect(FakeAgent(FILES, flips=["manifest.json"] * 9), run)

    assert not run.whole


def test_an_active_run_is_not_collected(run: RunDir) -> None:
    """A run that is not sealed is refused, and what came of it is kept as parts."""
    with pytest.raises(CollectError, match="not closed"):
        _collect(FakeAgent(FILES, sealed=False), run)

    assert {f"{name}.part": data for name, data in FILES.items()} == _home(run)


def test_growing_files_are_appended_to(run: RunDir) -> None:
    """Pulling while a file grows fetches only what is new."""
    agent = FakeAgent({"agent.log": b"one\n"}, sealed=False)
    pull(agent, run)  # type: ignore[arg-type]  # a stand-in by shape
    agent.files["agent.log"] += b"two\n"
    agent.sealed = True

    _collect(agent, run)

    assert ({"agent.log": 4}, {"agent.log": b"one\ntwo\n"}) == (agent.asked[-1], _home(run))


@pytest.mark.parametrize("path", ["../escape", "/etc/passwd", "a/../../b", "control/spec.json"])
def test_a_path_outside_of_the_run_is_refused(run: RunDir, path: str) -> None:
    """A host cannot make the controller write anywhere else."""
    with pytest.raises(CollectError, match="outside of the run"):
        _collect(FakeAgent({path: b"x"}), run)


def test_nonsense_from_the_host_is_named_as_that(run: RunDir) -> None:
    """What is no frame is an error of collecting, without a traceback."""

    class Babbling(FakeAgent):
        def _stream(self, had: Mapping[str, int]) -> bytes:
            return b"bash: warning: cannot set locale\n"

    with pytest.raises(CollectError, match="no result"):
        _collect(Babbling({}), run)


def test_a_full_disk_is_told_and_loses_nothing(
    run: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No room at home is said as that; after it is made, the run comes home."""
    agent = FakeAgent(FILES)
    with monkeypatch.context() as patch:
        import errno

        def full(*_: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        patch.setattr("provisioning.collect.part", full)
        with pytest.raises(CollectError, match="no room"):
            _collect(agent, run)

    _collect(agent, run)
    assert FILES == _home(run)


def test_what_is_at_home_is_told_by_size(run: RunDir) -> None:
    """Verified files and parts count alike; the controller's own files do not."""
    (run.path / "home").mkdir(parents=True)
    (run.path / "home" / "run.json").write_text("{}")
    (run.path / "a").write_bytes(b"12")
    (run.path / "b.part").write_bytes(b"123")

    assert {"a": 2, "b": 3} == have(run.path)


def test_sums_are_read_in_the_format_of_sha256sum() -> None:
    """Text and binary lines alike give names with blanks and all."""
    assert {"a b": "11", "c": "22"} == parse_sums("11  a b\n22 *c\n")
