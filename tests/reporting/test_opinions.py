"""Other clients' figures beside ours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from reporting import opinions
from reporting.block import COLUMNS, run_blocks
from reporting.errors import ReportError
from reporting.run import load

FIGURES = {
    "completed": {"ours": 40, "theirs": 39, "differs": -1},
    "mean_ttft_ms": {"ours": 22.6, "theirs": 24.0, "differs": 1.4, "error": 0.2, "beyond": True},
    "mean_e2el_ms": {"ours": 341.7, "theirs": 341.8, "differs": 0.1, "error": 0.3, "beyond": False},
    "mean_itl_ms": {"ours": None, "theirs": 5.0},
}


def write(run: Path, **point: Any) -> None:
    """Have a tool's opinion of the first point."""
    points = {"00-c2": {"figures": {}, "reason": "", "notes": []} | point}
    (run / "home").mkdir(exist_ok=True)
    told = {"tools": {"compressa": {"version": "0.2.8", "points": points}}}
    (run / opinions.FILE).write_text(json.dumps(told))


def test_figures_stand_side_by_side(tmp_path: Path) -> None:
    """Ours, theirs, the difference; what is beyond the client's own error bears a star."""
    write(tmp_path, figures=FIGURES, notes=["It was another load."])

    assert (
        """\
Second opinion: compressa 0.2.8                 ours      theirs     differs
Successful requests:                              40          39          -1
Mean TTFT (ms):                                22.60       24.00       +1.40 *
Mean ITL (ms):                                     -        5.00           -
Mean E2EL (ms):                               341.70      341.80       +0.10
* differs by more than our client's own error, as its calibration measured it
  - It was another load.""".splitlines()
        == list(opinions.lines(tmp_path, "00-c2"))
    )


def test_within_the_error_there_is_no_star(tmp_path: Path) -> None:
    """Nor a line that explains one."""
    write(tmp_path, figures={"mean_e2el_ms": FIGURES["mean_e2el_ms"]})

    assert not [line for line in opinions.lines(tmp_path, "00-c2") if "*" in line]


def test_why_there_is_none_is_told(tmp_path: Path) -> None:
    """Within the width of a terminal."""
    write(
        tmp_path, reason="it asks for chat completions alone (load.api: chat), which are not these"
    )

    found = list(opinions.lines(tmp_path, "00-c2"))

    assert "Second opinion: compressa 0.2.8: none, for it asks" in found[0]
    assert max(map(len, found)) <= COLUMNS


def test_other_points_and_runs_have_none(tmp_path: Path) -> None:
    """Nothing is shown then."""
    before = list(opinions.lines(tmp_path, "00-c2"))
    write(tmp_path, figures=FIGURES)

    assert ([], []) == (before, list(opinions.lines(tmp_path, "01-c4")))


def test_it_follows_the_result_block(whole: Path) -> None:
    """On the terminal and in the report alike."""
    run = load(whole)
    name = run.points[0].point.name
    write(whole, figures=FIGURES)
    text = (whole / opinions.FILE).read_text().replace("00-c2", name)
    (whole / opinions.FILE).write_text(text)

    blocks = [block for _, block in run_blocks(run)]

    assert "Second opinion: compressa" in blocks[0]
    assert not any("Second opinion" in block for block in blocks[1:])


def test_a_file_that_is_no_json_is_told(tmp_path: Path) -> None:
    """As with any other file of a run."""
    write(tmp_path)
    (tmp_path / opinions.FILE).write_text("{")

    with pytest.raises(ReportError, match="is not JSON"):
        list(opinions.lines(tmp_path, "00-c2"))
