from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from typing import Any

import pytest

from reporting import charts
from reporting.series import Bucket, Buckets

DOTS = ((0.0, 50.0), (1.0, 55.0), (2.0, 60.0))
LINES = Buckets(0.5, (Bucket(0.25, 9, 10.0, 12.0, 13.0), Bucket(0.75), Bucket(1.25, 9, 1, 2, 3)))


def elements(svg: str) -> list[ET.Element]:
    """Every element of the drawing; fails where it is no XML."""
    return list(ET.fromstring(svg).iter())


def labels(svg: str) -> list[str]:
    """What is written in the drawing."""
    return [e.text or "" for e in elements(svg) if e.tag == "text"]


def layers_of(monkeypatch: pytest.MonkeyPatch, chart: str) -> list[dict[str, Any]]:
    """The specifications that a chart hands to the drawing."""
    seen: list[dict[str, Any]] = []
    monkeypatch.setattr(charts, "svg", lambda spec: seen.append(spec) or "")
    if chart == "dots":
        charts.dots(DOTS, (1.5,), 3.0)
    else:
        charts.lines(LINES, (1.5,), 3.0)
    return seen


def test_each_value_is_a_dot_and_each_failure_a_tick() -> None:
    """Three requests and one failure are three dots and one tick, at both widths."""
    chart = charts.dots(DOTS, (1.5,), 3.0)

    for svg in (chart.wide, chart.narrow):
        fills = [e.get("fill") for e in elements(svg)]
        assert 3 == fills.count(charts.PALETTE["p50"][0])
        assert 1 == fills.count(charts.PALETTE["fail"][0])


def test_failures_that_would_lie_on_one_another_are_drawn_once() -> None:
    """A hundred thousand refusals do not make a page of megabytes."""
    chart = charts.dots(DOTS, [1.5 + i / 1e9 for i in range(5000)], 3.0)

    assert 1 == [e.get("fill") for e in elements(chart.wide)].count(charts.PALETTE["fail"][0])


def test_axes_bear_their_units() -> None:
    """Seconds along, milliseconds up."""
    found = labels(charts.dots(DOTS, (), 3.0).wide)

    assert {"0 s", "1 s", "2 s", "3 s"} <= set(found)
    assert {"0 ms", "20 ms", "40 ms", "60 ms"} <= set(found)


def test_lines_break_where_nothing_came() -> None:
    """An empty bucket is a gap in the line: it begins twice."""
    chart = charts.lines(LINES, (), 3.0)
    (line,) = (e for e in elements(chart.wide) if e.get("stroke") == charts.PALETTE["p50"][0])

    assert 2 == line.get("d", "").count("M")


@pytest.mark.parametrize("chart", ["dots", "lines"])
def test_specifications_are_valid_vega_lite(monkeypatch: pytest.MonkeyPatch, chart: str) -> None:
    """Vega-Lite ignores what it does not know: its schema does not."""
    import altair as alt
    import jsonschema

    specs = layers_of(monkeypatch, chart)

    assert 2 == len(specs)
    for spec in specs:
        alt.LayerChart.from_dict(spec, validate=True)
    broken = specs[0] | {"encoding": {"x": {"field": "t", "type": "quantitive"}}}
    with pytest.raises(jsonschema.ValidationError):
        alt.LayerChart.from_dict(broken, validate=True)


def test_the_drawing_holds_nothing_that_asks_or_runs() -> None:
    """No address, no script, no identifier that two charts of a page could share."""
    chart = charts.lines(LINES, (1.0,), 3.0)

    for svg in (chart.wide, chart.narrow):
        assert not re.search(r"https?:|href|url\(|<script|<style|\bid=|\bon\w+=", svg)


@pytest.mark.parametrize(
    ("values", "ticks"),
    [
        ([], ()),
        ([10.0, 12.0, 199.0], ()),
        ([0.0, 10.0, 900.0], ()),
        ([10.0, 12.0, 300.0], (5, 10, 20, 50, 100, 200, 500)),
        ([9.0, 9.0, 9.0, 1000.0], (5, 10, 20, 50, 100, 200, 500, 1000)),
    ],
)
def test_the_scale_is_logarithmic_only_where_a_linear_one_hides_the_usual(
    values: list[float], ticks: tuple[float, ...]
) -> None:
    """From twenty times the median on, with round ticks around all values."""
    assert ticks == pytest.approx(charts.log_ticks(values))


def test_a_logarithmic_chart_says_so() -> None:
    """The caption needs to know, and the labels are the round ticks."""
    spike = Buckets(1.0, (Bucket(0.5, 99, 10.0, 12.0, 400.0), Bucket(1.5, 99, 10.0, 12.0, 14.0)))

    chart = charts.lines(spike, (), 2.0)

    assert chart.log
    assert {"10 ms", "100 ms", "500 ms"} <= set(labels(chart.wide))
    assert not charts.dots(DOTS, (), 3.0).log


def test_what_lies_outside_of_the_point_is_drawn_too() -> None:
    """A stamp before the begin or after the end moves the axis; nothing is drawn beside it."""
    chart = charts.dots(((-2.0, 50.0), (4.0, 50.0)), (), 3.0)

    assert {"-2 s", "0 s", "4 s"} <= {text.replace("\u2212", "-") for text in labels(chart.wide)}


def test_a_point_of_no_duration_draws() -> None:
    """A point that was over at once has an axis all the same."""
    assert charts.dots(((0.0, 1.0),), (0.0,), 0.0).wide.startswith("<svg ")
