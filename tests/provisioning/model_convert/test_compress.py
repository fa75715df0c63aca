"""The program that converts, without llm-compressor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from provisioning.model_convert import compress
from provisioning.model_fetch import job
from provisioning.model_fetch.failure import Failure


@pytest.fixture
def task(tmp_path: Path) -> dict[str, Any]:
    source = tmp_path / "in"
    source.mkdir()
    (source / "config.json").write_text("{}")
    about = {"from": "o/m"}
    target = tmp_path / "converted" / "m-fp8"
    told = {"source": str(source), "target": str(target), "scheme": "fp8-dynamic", "ignore": []}
    return {**told, "about": about}


def writes(monkeypatch: pytest.MonkeyPatch, error: Exception | None = None) -> None:
    def fake(source: Path, made: Path, task: dict[str, Any]) -> str:
        assert (source / "config.json").exists()
        assert [] == task["ignore"]
        made.mkdir()
        (made / "model.safetensors").write_bytes(b"12345")
        (made / "model.safetensors").chmod(0o600)
        if error:
            raise error
        return "llmcompressor 1"

    monkeypatch.setattr(compress, "compress", fake)


def test_a_model_is_whole_with_its_receipt(
    task: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever an attempt before left; and containers may read it."""
    target = Path(task["target"])
    for left in (target, Path(f"{target}.new")):
        left.mkdir(parents=True)
        (left / "rest").touch()
    writes(monkeypatch)

    result = compress.converted(tmp_path, task, None)

    receipt = json.loads((target / "dyno.json").read_text())
    assert {"model.safetensors": 5} == receipt.pop("files")
    assert ("o/m", "llmcompressor 1") == (receipt["from"], receipt["tool"])
    assert receipt | {"bytes": 5, "files": 1} == result
    assert ["dyno.json", "model.safetensors"] == sorted(path.name for path in target.iterdir())
    assert [0o644] * 2 == [path.stat().st_mode & 0o777 for path in target.iterdir()]
    assert [target] == list(target.parent.iterdir())


def test_one_that_failed_is_not_there(
    task: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it wrote before does not count."""
    writes(monkeypatch, OSError("no"))
    with pytest.raises(OSError, match="no"):
        compress.converted(tmp_path, task, None)
    assert not Path(task["target"]).exists()


def test_a_disk_that_is_too_small_is_told_before(
    task: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a figure, for the controller to say it."""
    Path(task["source"], "model.safetensors").write_bytes(b"x" * 1000)
    usage = type("Usage", (), {"free": 100})
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    with pytest.raises(Failure) as caught:
        compress.converted(tmp_path, task, None)
    assert ("space", {"missing": 601, "free": 100}) == (caught.value.kind, caught.value.figures)


def test_it_runs_as_a_job(
    task: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its result is written where whoever follows it looks."""
    writes(monkeypatch)
    (tmp_path / "task.json").write_text(json.dumps(task))
    job.run(tmp_path, None, compress.converted)
    result = json.loads((tmp_path / "result.json").read_text())
    assert ("done", 5) == (result["state"], result["bytes"])
