"""The file of a workload: found, refused in one sentence, brought to a host once."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench_agent import protocol
from provisioning import data_file, recipe
from provisioning.errors import UsageError
from provisioning.facts.paths import AtPath, Found
from provisioning.host import Host
from provisioning.recipe_schema import Recipe
from tests.provisioning.fakes import FakeHost

KEY = "load.workload.options.path"
TEXT = b"one\ntwo\n"


@pytest.fixture
def beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of recipes, with a working folder of another place."""
    folder, here = tmp_path / "recipes", tmp_path / "here"
    folder.mkdir()
    here.mkdir()
    source = (recipe.RECIPES / "rehearsal.yaml").read_text()
    (folder / "mine.yaml").write_text(source)
    monkeypatch.chdir(here)
    return folder


def named(folder: Path, path: str) -> Recipe:
    return recipe.load("mine", [f"{KEY}={path}"], folder)


def found(folder: Path, path: str) -> data_file.DataFile:
    data = data_file.find(named(folder, path))
    assert data is not None
    return data


def test_a_workload_without_a_file_needs_none(beside: Path) -> None:
    """Most have none."""
    assert None is data_file.find(recipe.load("mine", folder=beside))


def test_a_file_lies_beside_the_recipe(beside: Path) -> None:
    """Its path is meant from there, wherever one is."""
    (beside / "p.txt").write_bytes(TEXT)

    data = found(beside, "p.txt")

    assert (beside / "p.txt", TEXT) == (data.path, data.content)
    assert {"name": "p.txt", "sha256": data.sha256, "bytes": 8} == data.about()


def test_or_in_the_current_folder(beside: Path) -> None:
    """As one types it after `--set`."""
    Path("p.txt").write_bytes(TEXT)
    assert Path.cwd() / "p.txt" == found(beside, "p.txt").path


def test_an_absolute_path_is_taken_as_it_is(beside: Path, tmp_path: Path) -> None:
    """From anywhere."""
    (tmp_path / "p.txt").write_bytes(TEXT)
    assert TEXT == found(beside, str(tmp_path / "p.txt")).content


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("nope.txt", "there is no file nope.txt (looked in "),
        ("''", "must be the path of a file, got ''."),
        ("[1]", "must be the path of a file, got [1]."),
    ],
)
def test_a_missing_file_is_told(beside: Path, path: str, sentence: str) -> None:
    """The key, the file, and where it was looked for."""
    with pytest.raises(UsageError, match=f"^{KEY}: ") as caught:
        data_file.find(named(beside, path))
    assert sentence in str(caught.value)


def test_a_file_that_is_too_large_is_told(beside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not read at all."""
    monkeypatch.setattr(data_file, "_MOST_BYTES", 7)
    (beside / "p.txt").write_bytes(TEXT)
    with pytest.raises(UsageError, match=r"has 0 MiB; 0 are the most that is brought to a host"):
        data_file.find(named(beside, "p.txt"))


def test_a_file_that_cannot_be_read_is_told(beside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the system's reason."""
    (beside / "p.txt").write_bytes(TEXT)

    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(UsageError, match=r"p\.txt cannot be read: Permission denied\."):
        data_file.find(named(beside, "p.txt"))


def test_its_name_on_the_host_is_its_hash_and_a_plain_name(tmp_path: Path) -> None:
    """Another content is another file; blanks and more are no trouble."""
    data = data_file.DataFile(tmp_path / "my prompts;#1.txt", TEXT)
    assert f"/w/files/{data.sha256[:12]}-my_prompts_1.txt" == data.on(FakeHost())


def test_a_workload_reads_it_there() -> None:
    """Nothing else of the workload changes."""
    workload = protocol.Workload("prompts", options={"path": "p.txt", "cycle": False})
    expected = protocol.Workload("prompts", options={"path": "/w/x", "cycle": False})
    assert expected == data_file.reading(workload, "/w/x")


def test_what_is_there_is_not_brought_again(tmp_path: Path) -> None:
    """No command where folder and file are as they should be."""
    data = data_file.DataFile(tmp_path / "p.txt", TEXT)
    there = {
        AtPath("/w/files"): Found("directory", 0o700),
        AtPath(data.on(FakeHost())): Found("file", 0o600, data.sha256),
    }
    assert [] == list(data_file.shipped(FakeHost(there), data))


@pytest.mark.integration
def test_brought_twice_it_is_written_once(host: Host, tmp_path: Path) -> None:
    """One exchange to ask, one to bring, and only one to ask the second time."""
    data = data_file.DataFile(tmp_path / "p x.txt", bytes(range(256)) * 1000)

    def bring(to: Host) -> tuple[bool, int]:
        before = to.remote.exchanges
        to.gather(*data_file.facts(to, data))
        return to.apply(data_file.shipped, data), to.remote.exchanges - before

    assert [(True, 2), (False, 1)] == [bring(host), bring(Host(host.remote, host.workdir))]
    assert data.content == Path(data.on(host)).read_bytes()
    assert 0o600 == Path(data.on(host)).stat().st_mode & 0o777
