"""What of a model is in the cache, and what of that can be used."""

from __future__ import annotations

import fcntl
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from provisioning.model_fetch import plan as plans
from provisioning.model_fetch.failure import Failure
from provisioning.model_fetch.plan import Plan
from tests.provisioning.hub import File

WHOLE, PART = File(b"whole"), File(b"x" * 1_000_000)


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """One file is there, one in part, one not at all."""
    files = {
        "a/whole": (5, WHOLE.name),
        "part": (1_000_000, PART.name),
        "missing": (7, "0" * 40),
    }
    plan = Plan(tmp_path / "hub" / "models--o--m", "c" * 40, files)
    plan.blob("").mkdir(parents=True)
    plan.blob(WHOLE.name).write_bytes(WHOLE.data)
    link(plan, "a/whole", WHOLE.name)
    plan.partial(PART.name).write_bytes(PART.data[:400_000])
    return plan


def link(plan: Plan, path: str, blob: str) -> None:
    plan.snapshot(path).parent.mkdir(parents=True, exist_ok=True)
    plan.snapshot(path).symlink_to(plan.blob(blob))


def test_whole_and_partial_files_count(plan: Plan) -> None:
    """Bytes on disk, against those of all files."""
    assert (400_005, 1_000_012) == (plan.done(), plan.total)


def test_what_can_be_gone_on_with_stays(plan: Plan) -> None:
    """A partial file of a blob that is wanted, no longer than it."""
    assert 0 == plans.cleared(plan)
    assert plan.partial(PART.name).exists()
    assert plan.snapshot("a/whole").exists()


def test_leftovers_of_no_use_are_removed(plan: Plan) -> None:
    """Of another commit, of a tool that names them otherwise, or too long."""
    useless = [
        plan.partial("f" * 40),
        plan.partial(f"{PART.name}.0a1b2c3d"),
        plan.partial("0" * 40),
    ]
    for path in useless:
        path.write_bytes(b"12345678")

    assert 24 == plans.cleared(plan)
    assert [False] * 3 == [path.exists() for path in useless]


def test_a_leftover_that_is_being_written_stays(plan: Plan) -> None:
    """Its lock tells; one that nobody holds does not protect it."""
    left = plan.partial("f" * 40)
    left.write_bytes(b"1")
    lock = plan.folder.parent / ".locks" / plan.folder.name / f"{'f' * 40}.lock"
    lock.parent.mkdir(parents=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert 0 == plans.cleared(plan)
        assert left.exists()
    assert 1 == plans.cleared(plan)


def test_a_file_of_a_wrong_size_is_removed(plan: Plan) -> None:
    """With its blob: the library takes a link that is there for the file."""
    plan.blob(WHOLE.name).write_bytes(b"who")
    plans.cleared(plan)
    assert (False, False) == (plan.snapshot("a/whole").is_symlink(), plan.blob(WHOLE.name).exists())


def test_a_link_that_leads_nowhere_is_removed(plan: Plan) -> None:
    """Somebody removed its blob."""
    plan.blob(WHOLE.name).unlink()
    plans.cleared(plan)
    assert not plan.snapshot("a/whole").is_symlink()


def test_there_must_be_room_for_what_is_missing(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not for what is there already."""
    missing = plan.total - plan.done()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=missing))
    plans.require_room(plan)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=missing - 1))
    with pytest.raises(Failure) as caught:
        plans.require_room(plan)
    assert ("space", {"missing": missing, "free": missing - 1}) == (
        caught.value.kind,
        caught.value.figures,
    )


def test_blobs_are_what_their_names_say(plan: Plan) -> None:
    """Git's hash, and that of LFS."""
    plan.blob(PART.name).write_bytes(PART.data)
    plans.require_whole(plan, [WHOLE.name, PART.name])
    assert [True, True] == [plans.is_whole(plan.blob(file.name)) for file in (WHOLE, PART)]


def test_a_damaged_blob_is_removed(plan: Plan) -> None:
    """Of the right size, but with a hole in it, as a power cut leaves one."""
    plan.blob(PART.name).write_bytes(b"\0" * 1_000_000)
    link(plan, "part", PART.name)
    with pytest.raises(Failure) as caught:
        plans.require_whole(plan, [WHOLE.name, PART.name])
    assert "damaged" == caught.value.kind
    left = plan.blob(PART.name).exists(), plan.snapshot("part").is_symlink()
    assert (False, False) == left
    assert plan.snapshot("a/whole").exists()
