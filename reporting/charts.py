"""Charts as Vega-Lite specifications, drawn to SVG without a browser or a network.

The page carries the drawing, not the program that draws it: Vega's scripts would weigh
0.9 MB and a second and a half a report, and could not run where scripts are blocked (mail,
artifact stores). Each chart is drawn twice, for a wide and for a narrow screen, so that its
letters keep their size.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import vl_convert

from reporting.series import Bucket, Buckets, Sample

VEGA_LITE = "6.4"
WIDE, NARROW = 1040, 348
HEIGHT = 208
#: From this many times the median on, the largest value would flatten all others.
LOG_FROM = 20
#: The lowest tick lies this far below the lowest value, so that its line is clear of the axis.
LOG_ROOM = 0.8

#: From this many dots on they are drawn smaller.
MANY = 200

#: Colours by what they stand for: on paper and light screens, on dark screens.
PALETTE = {
    "p50": ("#1f6fd6", "#62a8ff"),
    "p99": ("#c4650d", "#f2a65a"),
    "max": ("#8b95a5", "#76818f"),
    "fail": ("#c8323f", "#ff7a82"),
    "grid": ("#e5e8ed", "#2b323c"),
    "tick": ("#5a6473", "#9aa5b4"),
}

Spec = dict[str, Any]


@dataclass(frozen=True)
class Chart:
    """A drawn chart: SVG for wide and narrow screens, and whether its scale is logarithmic."""

    wide: str
    narrow: str
    log: bool


def dots(samples: Sequence[Sample], failed: Sequence[float], duration_s: float) -> Chart:
    """Each value a dot at its time; failures as ticks along the time axis."""
    layers = [_dots_layer(samples), *_failed_layers(failed, duration_s)]
    return _draw(layers, duration_s, [value for _, value in samples])


def lines(values: Buckets, failed: Sequence[float], duration_s: float) -> Chart:
    """Median, 99th percentile and maximum of each bucket as lines that break where it is empty."""
    medians = [b.p50 for b in values.items if b.p50 is not None]
    largest = max((b.max for b in values.items if b.max is not None), default=0.0)
    layers = [
        _reach_layer(values.items),
        _line_layer(values.items, "p99"),
        _line_layer(values.items, "p50"),
        *_failed_layers(failed, duration_s),
    ]
    return _draw(layers, duration_s, [*medians, largest])


def log_ticks(values: Sequence[float]) -> tuple[float, ...]:
    """1, 2 and 5 times powers of ten around *values*; empty where a linear scale serves.

    A linear one serves unless the largest value would flatten the usual ones.
    """
    if not values or min(values) <= 0:
        return ()
    low, high = min(values), max(values)
    if high <= LOG_FROM * sorted(values)[len(values) // 2]:
        return ()
    powers = range(math.floor(math.log10(LOG_ROOM * low)), math.ceil(math.log10(high)) + 1)
    steps = [step * 10.0**power for power in powers for step in (1, 2, 5)]
    first = max(i for i, step in enumerate(steps) if step <= LOG_ROOM * low)
    last = min(i for i, step in enumerate(steps) if step >= high)
    return tuple(steps[first : last + 1])


def spec(
    layers: Sequence[Spec], duration_s: float, width: int, ticks: Sequence[float] = ()
) -> Spec:
    """The Vega-Lite specification of *layers* over one time axis; *ticks* make it logarithmic."""
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
        "width": width,
        "height": HEIGHT,
        "padding": {"left": 0, "right": 12, "top": 6, "bottom": 0},
        "autosize": {"type": "fit", "contains": "padding"},
        "encoding": {"x": _time_axis(_domain(layers, duration_s), width), "y": _value_axis(ticks)},
        "layer": list(layers),
        "config": _CONFIG,
    }


def svg(specification: Spec) -> str:
    """Draw *specification*; the markup holds no address, no script and no identifier."""
    drawn = vl_convert.vegalite_to_svg(specification, vl_version=VEGA_LITE)
    body = _IDLE_ATTRIBUTES.sub("", drawn[drawn.index(">") + 1 :])
    return f'<svg viewBox="0 0 {specification["width"]} {HEIGHT}" aria-hidden="true">{body}'


_IDLE_ATTRIBUTES = re.compile(r' (?:class|role|aria-[a-z]+|pointer-events)="[^"]*"')


def _draw(layers: Sequence[Spec], duration_s: float, values: Sequence[float]) -> Chart:
    ticks = log_ticks(values)
    wide, narrow = (svg(spec(layers, duration_s, width, ticks)) for width in (WIDE, NARROW))
    return Chart(wide, narrow, bool(ticks))


def _dots_layer(samples: Sequence[Sample]) -> Spec:
    return {
        "data": {"values": [{"t": round(t, 4), "v": round(v, 4)} for t, v in samples]},
        "mark": {
            "type": "circle",
            "size": 30 if len(samples) < MANY else 16,
            "opacity": 0.6,
            "color": PALETTE["p50"][0],
        },
        "encoding": {"y": {"field": "v", "type": "quantitative"}},
    }


def _line_layer(items: Sequence[Bucket], name: str) -> Spec:
    return {
        "data": {"values": [{"t": b.t_s, "v": getattr(b, name)} for b in items]},
        "mark": {
            "type": "line",
            "strokeWidth": 1.75,
            "color": PALETTE[name][0],
            "invalid": "break-paths-show-path-domains",
        },
        "encoding": {"y": {"field": "v", "type": "quantitative"}},
    }


def _reach_layer(items: Sequence[Bucket]) -> Spec:
    """From the median up to the largest value of each bucket."""
    return {
        "data": {"values": [{"t": b.t_s, "v": b.max, "low": b.p50} for b in items]},
        "mark": {
            "type": "area",
            "interpolate": "step",
            "color": PALETTE["max"][0],
            "opacity": 0.35,
            "invalid": "break-paths-show-path-domains",
        },
        "encoding": {"y": {"field": "v", "type": "quantitative"}, "y2": {"field": "low"}},
    }


def _failed_layers(failed: Sequence[float], duration_s: float) -> list[Spec]:
    """A tick for each failure; those that would lie on one another are drawn once."""
    if not failed:
        return []
    step = max(duration_s, 0.001) / WIDE
    times = sorted({round(t / step) * step for t in failed})
    mark = {"type": "tick", "orient": "vertical", "size": 12, "thickness": 2, "yOffset": -6}
    return [
        {
            "data": {"values": [{"t": t} for t in times]},
            "mark": mark | {"color": PALETTE["fail"][0]},
            "encoding": {"y": {"value": "height"}},
        }
    ]


def _time_axis(domain: tuple[float, float], width: int) -> Spec:
    return {
        "field": "t",
        "type": "quantitative",
        "scale": {"domain": list(domain), "nice": False},
        "axis": {
            "title": None,
            "grid": False,
            "tickCount": 10 if width > NARROW else 4,
            "labelExpr": "format(datum.value, ',') + ' s'",
            "labelFlush": True,
        },
    }


def _domain(layers: Sequence[Spec], duration_s: float) -> tuple[float, float]:
    """The whole point, and what was sent or came outside of it."""
    times = [value["t"] for layer in layers for value in layer["data"]["values"]]
    return min([0.0, *times]), max([duration_s, 0.001, *times])


def _value_axis(ticks: Sequence[float]) -> Spec:
    # The same extent everywhere: the time axes of a point's charts lie under one another.
    axis: Spec = {"title": None, "minExtent": 62, "maxExtent": 62, "domain": False, "ticks": False}
    axis |= {"labelExpr": "format(datum.value, ',') + ' ms'", "labelOverlap": True}
    if ticks:
        scale = {"type": "log", "domain": [ticks[0], ticks[-1]], "nice": False}
        return {"type": "quantitative", "scale": scale, "axis": axis | {"values": list(ticks)}}
    scale = {"zero": True, "nice": 5}
    return {"type": "quantitative", "scale": scale, "axis": axis | {"tickCount": 5}}


_CONFIG: Spec = {
    "background": "transparent",
    "font": "sans-serif",
    "view": {"stroke": None},
    "mark": {"aria": False},
    "line": {"strokeCap": "round", "strokeJoin": "round"},
    "axis": {
        "labelFontSize": 12,
        "labelColor": PALETTE["tick"][0],
        "labelPadding": 6,
        "gridColor": PALETTE["grid"][0],
        "domainColor": PALETTE["tick"][0],
        "tickColor": PALETTE["tick"][0],
        "tickSize": 4,
    },
}
