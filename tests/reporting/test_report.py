from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from bench_agent.protocol import FAILURES, RequestRecord
from bench_agent.wire import encode
from reporting import page, report
from reporting.errors import ReportError
from reporting.run import load
from tests.data import make_results
from tests.reporting.browser import dom

HOSTILE = "<script>document.title='owned'</script><img src=x onerror=document.title='owned'>"


class Reader(HTMLParser):
    """Tags, attributes and text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text += data


def change(path: Path, old: str, new: str) -> None:
    """Replace text of a file that is known to hold it."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_the_report_lies_in_home_and_is_one_file(whole: Path) -> None:
    """Nothing else is left there, and the sealed files are as they were."""
    before = {p: p.read_bytes() for p in whole.rglob("*") if p.is_file()}

    path = report.write(whole)

    assert whole / "home" / "report.html" == path
    after = {p: p.read_bytes() for p in whole.rglob("*") if p.is_file() and p != path}
    assert before == after


def test_the_report_asks_no_other_host(whole: Path) -> None:
    """No src, href, url() or import leads anywhere; the page forbids itself the rest."""
    html = report.write(whole).read_text()
    read = Reader(html)
    links = {v for name, v in read.attributes if name in ("src", "href", "xlink:href", "srcset")}

    assert {"data:,"} == links
    assert "script" not in read.tags
    assert not re.search(r"url\(|@import", html)
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    assert ("content", policy) in read.attributes


def test_the_report_holds_what_a_reader_looks_for(whole: Path) -> None:
    """Verdict, figures, failures, phases, text block, recipe, commands and manifest."""
    text = Reader(report.write(whole).read_text()).text

    for expected in (
        "Not valid",
        "01-c32: send delay P99 14.2 ms is over the limit of 10 ms",
        "37 / 40",
        "Time to first token",
        "Inter-token latency",
        "in steps of 0.02 s",
        "a status other than 200",
        '503: {"error": "queue is full"}',
        "calibrating",
        "provision",
        "Serving Benchmark Result",
        "fab bench --stack local --recipe rehearsal",
        "model: dyno/simulated",
        "engine.args.max_num_seqs",
        "workload.input_len",
        "TTFT mean +0.184 ms, P99 +0.412 ms; ITL mean -0.021 ms",
        "$4.50 per hour (on demand, preset, 2026-11-01)",
        "NVIDIA L40S",
    ):
        assert expected in text


def test_each_point_has_both_charts_at_both_widths(whole: Path) -> None:
    """Two points, two charts, two widths."""
    assert 8 == Reader(report.write(whole).read_text()).tags.count("svg")


def test_a_valid_run_says_so(whole: Path) -> None:
    """The banner is green when nothing speaks against any point."""
    run = load(whole)
    assert run.summary is not None
    verdict = replace(run.summary.verdict, valid=True, reasons=())
    run = replace(run, summary=replace(run.summary, verdict=verdict))

    assert "good" == page.banner(run).kind
    assert "Valid (incomplete)" == page.banner(replace(run, state="incomplete")).title


def test_a_run_without_points_is_not_valid(whole: Path) -> None:
    """An empty run cannot pass, whatever its verdict says."""
    run = load(whole)
    assert run.summary is not None
    verdict = replace(run.summary.verdict, valid=True, reasons=())
    empty = replace(run, summary=replace(run.summary, verdict=verdict, points=()))

    assert "bad" == page.banner(empty).kind
    assert ("No point was measured.",) == page.banner(empty).lines
    assert "Key figures" not in report.render(empty)


def test_a_headline_that_cannot_be_believed_says_so(whole: Path) -> None:
    """Where every point is doubtful, the figure bears the doubt."""
    run = load(whole)
    assert run.summary is not None
    only = replace(run, summary=replace(run.summary, points=run.points[1:]))
    good = replace(run, summary=replace(run.summary, points=run.points[:1]))

    assert "at 01-c32, not valid" == page.tiles(only)[0][3]
    assert "rate inf, concurrency 4" == page.tiles(good)[0][3]


def test_a_failed_launch_has_a_report(failed: Path) -> None:
    """What happened, what to do, and the end of the engine's log."""
    text = Reader(report.write(failed).read_text()).text

    assert "Nothing was measured" in text
    assert "The engine exited with 98 before it was ready." in text
    assert "Free port 8000" in text
    assert "OSError: [Errno 98] Address already in use" in text


def test_a_lost_run_has_a_report(failed: Path) -> None:
    """No error is known: its state has to do."""
    home = failed / "home" / "run.json"
    home.write_text(json.dumps(json.loads(home.read_text()) | {"state": "lost", "error": None}))

    text = Reader(report.write(failed).read_text()).text

    assert "The run is lost; no result of it came home." in text


def test_points_without_a_success_are_drawn_as_such(whole: Path) -> None:
    """No chart is made of nothing."""
    path = whole / "points" / "00-c4" / "records.jsonl"
    records = [json.loads(line) for line in path.read_text().splitlines()]
    lines = [json.dumps(r | {"success": False, "failure": "refused"}) for r in records]
    path.write_text("\n".join(lines))

    read = Reader(report.write(whole).read_text())

    assert "No request succeeded." in read.text
    assert "No reply had more than one chunk." in read.text
    assert 4 == read.tags.count("svg")


def test_many_requests_are_gathered(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Past the page's budget of dots, TTFT is shown as ITL is."""
    monkeypatch.setattr(page, "DOTS", 10)

    assert "Requests by the time they were sent, in steps of" in report.render(load(whole))


def test_a_run_against_a_url_is_repeated_by_its_url(whole: Path) -> None:
    """There is no stack to bring up."""
    run = load(whole)
    assert run.manifest is not None
    manifest = replace(run.manifest, context={"url": "http://10.0.0.7:8000"})

    command = page.commands(replace(run, manifest=manifest))

    assert "fab bench --url http://10.0.0.7:8000 --recipe rehearsal" == command


def test_names_are_quoted_for_the_shell(whole: Path) -> None:
    """A line to be pasted must not run what a name holds."""
    run = replace(load(whole), stack="a; rm -rf ~", recipe="b$(id)")

    assert "--stack 'a; rm -rf ~' --recipe 'b$(id)'" in page.commands(run)


def test_parts_of_a_phase_are_not_counted_twice(whole: Path) -> None:
    """They overlap, and stand in the time of their phase already."""
    run = load(whole)
    assert run.home is not None
    home = replace(run.home, phases={"provision": 9.0, "provision.docker": 8.0, "serve": 1.0})

    (here, total, parts), *_ = page.phases(replace(run, home=home))

    assert ("From here", "10.0 s", 3) == (here, total, len(parts))


def test_bare_figures_are_left_out(whole: Path) -> None:
    """A manifest that knows little makes a short list, not an error."""
    run = load(whole)
    assert run.manifest is not None
    bare = replace(run.manifest, spec={}, host={}, context={"price": 3, "hosts": 4}, phases={})

    labels = [label for label, _ in page.about(replace(run, manifest=bare, home=None))]

    assert ["Stack", "Recipe", "Began", "Took", "Server"] == labels


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ({"highest": 8.0}, "max concurrency 8 is the highest with 99 % of requests good"),
        ({"highest": None}, "max concurrency: none held with 99 % of requests good"),
    ],
)
def test_what_a_search_found_is_told(whole: Path, found: dict[str, Any], words: str) -> None:
    """Beside the other facts of the run."""
    run = load(whole)
    assert run.summary is not None
    search = {"over": "max_concurrency", "share": 0.99, "steps": []} | found
    searched = replace(run, summary=replace(run.summary, search=search))

    assert {"Search": words}.items() <= dict(page.about(searched)).items()
    assert "Search" not in dict(page.about(run))


def test_what_the_server_lacks_is_told(whole: Path) -> None:
    """In the probe's own sentences."""
    assert "There is no /tokenize: prompts" in dict(page.about(load(whole)))["Server"]


def test_every_failure_is_explained() -> None:
    """Each class of the protocol has its meaning."""
    assert sorted(FAILURES) == sorted(page.MEANING)


def plant(whole: Path) -> None:
    """Put markup wherever a foreign hand can write."""
    change(whole / "manifest.json", '"recipe": "rehearsal"', f'"recipe": {json.dumps(HOSTILE)}')
    change(whole / "manifest.json", "bench-7", HOSTILE)
    change(whole / "summary.json", "3 of 40 requests failed (limit 0)", HOSTILE)
    change(whole / "points/01-c32/records.jsonl", "no reply within 600 s", HOSTILE)
    change(whole / "recipe.yaml", "model: dyno/simulated", f"model: {HOSTILE}")


def test_markup_in_names_and_messages_is_text(whole: Path) -> None:
    """Planted in recipe, host, reason, failure and YAML: shown, never run."""
    plant(whole)

    read = Reader(report.write(whole).read_text())

    assert read.text.count(HOSTILE) >= 5
    assert "script" not in read.tags
    assert "img" not in read.tags
    assert not [name for name, _ in read.attributes if name.startswith("on")]


@pytest.mark.integration
def test_a_browser_shows_the_page_and_runs_nothing(whole: Path, tmp_path: Path) -> None:
    """Without a network, with hostile names: all is there, and the title is ours."""
    plant(whole)

    shown = dom(report.write(whole), tmp_path / "profile")

    assert "<title>Not valid " in shown
    assert "<title>owned" not in shown
    assert 8 == shown.count("<svg ")
    assert shown.rstrip().endswith("</html>")


@pytest.mark.integration
def test_a_million_tokens_make_a_small_page(whole: Path) -> None:
    """Below 3 MB: percentiles of time steps instead of dots."""
    template = next(load(whole).records("00-c4"))
    chunks = tuple(50_000_000 + i * 10_000_000 + i * i % 977 * 1000 for i in range(500))
    with (whole / "points/00-c4/records.jsonl").open("w") as out:
        for index in range(2000):
            out.write(json.dumps(encode(_later(template, index, chunks))) + "\n")

    path = report.write(whole)

    assert path.stat().st_size < 3_000_000
    assert "Gaps between chunks of all requests" in path.read_text()


def _later(template: RequestRecord, index: int, chunks: tuple[int, ...]) -> RequestRecord:
    sent = template.sent_ns + index * 50_000_000
    return replace(template, index=index, sent_ns=sent, chunk_ns=chunks)


def test_the_page_replaces_an_earlier_one_or_nothing(whole: Path) -> None:
    """Broken records leave the old report in place, and no half of a new one."""
    path = report.write(whole)
    before = path.read_bytes()
    (whole / "points/01-c32/records.jsonl").write_text("{")

    with pytest.raises(ReportError):
        report.write(whole)

    assert before == path.read_bytes()
    assert ["report.html", "run.json"] == sorted(p.name for p in path.parent.iterdir())


def test_a_page_that_cannot_be_written_is_said(whole: Path) -> None:
    """A folder stands in its place."""
    (whole / "home" / "report.html").mkdir()

    with pytest.raises(ReportError, match=r"report\.html cannot be written"):
        report.write(whole)


def test_a_run_without_a_home_gets_one(whole: Path) -> None:
    """A directory that was copied by hand can be reported on."""
    (whole / "home" / "run.json").unlink()
    (whole / "home").rmdir()

    assert report.write(whole).is_file()


@pytest.mark.integration
def test_a_report_costs_little_and_imports_no_heavy_library(whole: Path) -> None:
    """It is part of what `fab bench` adds to the load: its imports are the cost to watch."""
    code = (
        "import sys, pathlib; from reporting import report;"
        "report.write(pathlib.Path(sys.argv[1]));"
        "print([m for m in ('altair', 'numpy', 'pandas', 'pydantic', 'rich') if m in sys.modules])"
    )
    begun = time.monotonic()

    done = subprocess.run(
        [sys.executable, "-c", code, str(whole)], capture_output=True, text=True, check=True
    )

    assert "[]" == done.stdout.strip()
    assert time.monotonic() - begun < 20, "far beyond what a loaded machine explains"


def test_the_golden_failure_is_the_failed_one(failed: Path) -> None:
    """The fixtures are the golden directories."""
    assert make_results.FAILED == failed.name
