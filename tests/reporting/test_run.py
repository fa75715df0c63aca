from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from reporting.errors import ReportError
from reporting.run import load
from tests.data import make_results


def edit(path: Path, **values: Any) -> None:
    """Change keys of a JSON file."""
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def refusal(path: Path) -> str:
    """Why *path* cannot be loaded."""
    with pytest.raises(ReportError) as caught:
        load(path)
    assert caught.value.advice
    return str(caught.value)


def test_a_whole_run_is_loaded_with_all_that_it_holds(whole: Path) -> None:
    """Summary, manifest, home file, recipe and points are there."""
    run = load(whole)

    assert (make_results.WHOLE, "local", "rehearsal", "done") == (
        run.run_id,
        run.stack,
        run.recipe,
        run.state,
    )
    assert ["00-c4", "01-c32"] == [p.point.name for p in run.points]
    assert run.manifest is not None
    assert 7 == run.manifest.spec["workload"]["seed"]
    assert run.home is not None
    assert make_results.PHASES_HOME == run.home.phases
    assert make_results.RECIPE_YAML == run.recipe_yaml
    assert "INFO: ready on 127.0.0.1:8000" == run.log_tail


def test_records_are_read_when_they_are_asked_for(whole: Path) -> None:
    """Each point's requests come back as records, chunk stamps as tuples."""
    run = load(whole)

    records = list(run.records("01-c32"))

    assert list(range(40)) == [r.index for r in records]
    assert 3 == sum(not r.success for r in records)
    assert 24 == len(records[0].chunk_ns)
    assert isinstance(records[0].chunk_ns, tuple)


def test_vllm_json_is_optional(whole: Path) -> None:
    """Its figures are given where it is there, and nothing is made up where not."""
    run = load(whole)
    assert 24 == run.vllm("00-c4")["completed"]

    (whole / "points" / "00-c4" / "vllm.json").unlink()

    assert {} == run.vllm("00-c4")


@pytest.mark.parametrize("point", ["02-c64", "../00-c4", ".."])
def test_only_points_of_the_summary_have_records(whole: Path, point: str) -> None:
    """A name from outside reaches no other folder."""
    with pytest.raises(ReportError, match="has no point"):
        load(whole).records(point)


def test_a_point_whose_name_is_a_path_is_refused(whole: Path) -> None:
    """Not even the summary may name a folder elsewhere."""
    summary = json.loads((whole / "summary.json").read_text())
    summary["points"][0]["point"]["name"] = "../../elsewhere"
    (whole / "summary.json").write_text(json.dumps(summary))

    with pytest.raises(ReportError, match="has no point"):
        load(whole).records("../../elsewhere")


def test_a_failed_launch_is_a_result_too(failed: Path) -> None:
    """Without a summary the run loads, with the reason and the rescued log."""
    run = load(failed)

    assert "failed" == run.state
    assert () == run.points
    assert run.home is not None
    assert run.home.error is not None
    assert "serve" == run.home.error.phase
    assert "INFO: starting\nOSError: [Errno 98] Address already in use" == run.log_tail


def test_the_log_in_the_error_serves_where_none_was_rescued(failed: Path) -> None:
    """The controller's own last lines are better than none."""
    (failed / "home" / "server.log").unlink()

    assert "OSError: [Errno 98] Address already in use" == load(failed).log_tail


def test_a_run_that_failed_before_its_state_was_written_loads(failed: Path) -> None:
    """State `opened` with an error is a failed launch as well."""
    edit(failed / "home" / "run.json", state="opened")

    assert "opened" == load(failed).state


@pytest.mark.parametrize("state", ["opened", "launched"])
def test_a_run_that_is_not_home_yet_is_refused(failed: Path, state: str) -> None:
    """A half-pulled run is never taken for a whole one, and `fab collect` is named."""
    edit(failed / "home" / "run.json", state=state, error=None)

    message = refusal(failed)

    assert f"not whole at home yet ({state})" in message
    assert "`fab collect --stack local`" in message


def test_an_abandoned_run_loads_as_such(failed: Path) -> None:
    """The marker overrules what the controller wrote last."""
    edit(failed / "home" / "run.json", state="launched", error=None)
    (failed / "ABANDONED").touch()

    assert "abandoned" == load(failed).state


def test_no_directory(tmp_path: Path) -> None:
    """A run that is not there is said to be not there."""
    assert "There is no run at" in refusal(tmp_path / "nothing")


def test_a_directory_of_something_else(tmp_path: Path) -> None:
    """Neither sums nor home file: not a run."""
    assert "is not a whole run" in refusal(tmp_path)


@pytest.mark.parametrize("name", ["summary.json", "points/00-c4/records.jsonl"])
def test_a_missing_file_is_named(whole: Path, name: str) -> None:
    """Each file that the sums name has to be there."""
    (whole / name).unlink()

    assert f"{name} is missing" in refusal(whole)


def test_another_schema_is_refused(whole: Path) -> None:
    """A run of another release is not read half right."""
    edit(whole / "summary.json", schema=2)

    assert "has schema 2; this release reads 1" in refusal(whole)


@pytest.mark.parametrize(
    ("text", "reason"),
    [("{", "is not JSON"), ("[]", "holds no JSON object"), ('{"schema": 1}', "run_id: missing")],
)
def test_a_damaged_file_is_named(whole: Path, text: str, reason: str) -> None:
    """What does not fit is said with its file, not shown as a traceback."""
    (whole / "manifest.json").write_text(text)

    message = refusal(whole)

    assert "manifest.json" in message
    assert reason in message


def test_a_damaged_home_file_is_named(failed: Path) -> None:
    """The controller's own file can be damaged too."""
    edit(failed / "home" / "run.json", stack=3)

    assert "run.json: stack: expected str" in refusal(failed)


def test_an_unreadable_file_is_named(whole: Path) -> None:
    """A folder in the place of a file stands for what cannot be read."""
    (whole / "summary.json").unlink()
    (whole / "summary.json").mkdir()
    sums = (whole / "SHA256SUMS").read_text().replace("  summary.json", "  manifest.json")
    (whole / "SHA256SUMS").write_text(sums)

    assert "cannot be read: Is a directory" in refusal(whole)


def test_a_missing_summary_that_the_sums_do_not_name(whole: Path) -> None:
    """Sums over less than a run do not make it whole."""
    (whole / "summary.json").unlink()
    sums = (whole / "SHA256SUMS").read_text().replace("  summary.json", "  manifest.json")
    (whole / "SHA256SUMS").write_text(sums)

    assert "summary.json is missing" in refusal(whole)


@pytest.mark.parametrize("line", ["{", "[1]", '{"index": 1}', '{"index": 1, "odd": 2}', "3"])
def test_a_line_that_is_no_record_is_named_by_its_number(whole: Path, line: str) -> None:
    """The file and the line are said."""
    path = whole / "points" / "00-c4" / "records.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], line, *lines[2:]]))

    with pytest.raises(ReportError, match=r"records\.jsonl:2 is not a request record"):
        list(load(whole).records("00-c4"))


def test_records_that_are_gone_are_said_to_be_gone(whole: Path) -> None:
    """They can vanish between loading and reading."""
    run = load(whole)
    shutil.rmtree(whole / "points")

    with pytest.raises(ReportError, match="cannot be read: No such file"):
        list(run.records("00-c4"))


def test_a_run_without_a_home_file_loads(whole: Path) -> None:
    """A result directory that was copied from elsewhere is a run."""
    shutil.rmtree(whole / "home")

    run = load(whole)

    assert run.home is None
    assert "done" == run.state
