"""What stands on a run's page, as plain values for the template."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from bench_agent.protocol import PointSummary
from bench_agent.wire import encode
from reporting import charts, figures, outline, series
from reporting.block import run_blocks
from reporting.run import Run

#: Requests that a page shows one by one, all points together; more are gathered in buckets.
DOTS = 3000

#: What a person has to know of each failure class (the protocol names them).
MEANING = {
    "refused": "no connection could be made",
    "reset": "the connection broke before the reply was over",
    "timeout": "longer than the request's time limit",
    "stalled": "silent for longer than its limit after it had begun",
    "http_error": "a status other than 200",
    "stream_error": "an error event inside the stream",
    "truncated": "the stream ended without finish reason or [DONE]",
    "no_usage": "finished, but without token counts",
    "wrong_usage": "finished, with token counts that cannot be",
    "bad_reply": "not HTTP, or not JSON where JSON was due",
    "stopped": "the run ended before the request did",
}


@dataclass(frozen=True)
class Banner:
    """The verdict on top: `kind` is good, bad or none (nothing was measured)."""

    kind: str
    title: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Figure:
    """A chart and its words, `keys` as (palette name, label); `note` says why there is none."""

    title: str
    note: str
    keys: tuple[tuple[str, str], ...]
    chart: charts.Chart | None


@dataclass(frozen=True)
class PointPage:
    """One point: its summary, figures, failures (class, count, meaning, example), text block."""

    summary: PointSummary
    load: str
    figures: tuple[Figure, ...]
    failures: tuple[tuple[str, int, str, str], ...]
    block: str


@dataclass(frozen=True)
class Phase:
    """One phase: its time in words, and how long its bar is (percent of the longest)."""

    name: str
    took: str
    bar: float


def of_run(run: Run) -> dict[str, Any]:
    """Every value that the template asks for.

    Raises:
        ReportError: the records of a point cannot be read.
    """
    return {
        "run": run,
        "banner": banner(run),
        "about": about(run),
        "tiles": tiles(run),
        "points": [_point(run, point, block) for point, block in run_blocks(run)],
        "phases": phases(run),
        "commands": commands(run),
        "manifest": _manifest(run),
        "calibration": figures.client_error(run.summary.calibration) if run.summary else None,
        "palette": charts.PALETTE,
        "n": figures,
    }


def banner(run: Run) -> Banner:
    """The verdict on *run*, or why there is none."""
    if run.summary is None:
        return Banner("none", "Nothing was measured", _why_nothing(run))
    verdict = run.summary.verdict
    state = "" if run.state == "done" else f" ({run.state})"
    if run.rehearsal_of:
        return Banner("none", f"A rehearsal{state}", _of_simulator(run, verdict.reasons))
    if verdict.valid and run.points:
        return Banner("good", f"Valid{state}", ("Every point kept within its limits.",))
    reasons = (*verdict.reasons, *run.diagnosis) or ("No point was measured.",)
    return Banner("bad", f"Not valid{state}", reasons)


def _of_simulator(run: Run, reasons: tuple[str, ...]) -> tuple[str, ...]:
    return (f"All figures are of a simulator in the place of {run.rehearsal_of}.", *reasons)


def about(run: Run) -> list[tuple[str, str]]:
    """The facts that a reader wants first, as (label, value); unknown ones are left out."""
    facts = [("Stack", run.stack), ("Recipe", run.title), ("Series", run.series_id)]
    if run.manifest:
        target = run.manifest.spec.get("target", {})
        facts += [
            ("Model", str(target.get("model", ""))),
            ("Workload", _workload(run.manifest.spec.get("workload", {}))),
            ("Host", _host(run.manifest.host)),
            ("Accelerator", _accelerators(run.manifest.context.get("hosts"))),
            ("Price", _price(run.manifest.context.get("price"))),
            ("Began", figures.when(run.manifest.started_ns)),
            ("Took", figures.seconds((run.manifest.ended_ns - run.manifest.started_ns) / 1e9)),
            ("Search", _search(run.summary.search) if run.summary else ""),
            ("Server", _notes(run.summary.server) if run.summary else ""),
        ]
    elif run.home:
        facts.append(("Opened", figures.when_iso(run.home.opened_at)))
    if run.home and run.home.owner:
        facts.append(("Owner", run.home.owner))
    return [(label, value) for label, value in facts if value]


def tiles(run: Run) -> list[tuple[str, str, str, str]]:
    """The headline: (label, figure, unit, small print) of the best point."""
    best = figures.best(run.points)
    if best is None:
        return []
    n = figures.number
    ttft, itl = best.ttft_ms, best.itl_ms
    return [
        ("Output throughput", n(best.output_throughput), "tok/s", _which(run, best)),
        ("Time to first token", n(figures.mean(ttft)), "ms", f"mean; {_p99(ttft)}"),
        ("Inter-token latency", n(figures.percentile(itl, "p50")), "ms", f"median; {_p99(itl)}"),
        ("Requests", n(best.completed), f"of {n(best.requested)}", f"{n(best.failed)} failed"),
    ]


def phases(run: Run) -> list[tuple[str, str, list[Phase]]]:
    """(where, total, phases) for the controller's clock and the host's.

    Parts of a phase (``provision.docker``) overlap, and are in its time already.
    """
    found = [
        ("From here", run.home.phases if run.home else {}),
        ("On the host", run.manifest.phases if run.manifest else {}),
    ]
    whole = [sum(s for name, s in p.items() if "." not in name) for _, p in found]
    both = zip(found, whole, strict=True)
    return [(w, figures.seconds(total), _phases(p)) for (w, p), total in both if p]


def commands(run: Run) -> str:
    """The shell lines that do this run again."""
    stack, recipe = shlex.quote(run.stack), shlex.quote(run.title)
    recipe += " --rehearse" if run.rehearsal_of else ""
    url = run.manifest.context.get("url") if run.manifest else None
    if url:
        return f"fab bench --url {shlex.quote(str(url))} --recipe {recipe}"
    return (
        f"pulumi up --stack {stack}\n"
        f"fab bench --stack {stack} --recipe {recipe}\n"
        f"pulumi destroy --stack {stack}"
    )


def _point(run: Run, point: PointSummary, block: str) -> PointPage:
    records = run.records(point.point.name)
    found = series.of_point(records, point.started_ns, point.duration_s)
    drawn = (
        _ttft(found, point.duration_s, DOTS // len(run.points)),
        _itl(found, point.duration_s),
    )
    failures = tuple(
        (name, count, MEANING.get(name, ""), found.errors.get(name, ""))
        for name, count in sorted(point.failures.items(), key=lambda item: -item[1])
    )
    return PointPage(point, figures.load(point.point), drawn, failures, block)


def _ttft(found: series.PointSeries, duration_s: float, most: int) -> Figure:
    title = "Time to first token"
    keys = (("fail", "failed"),) if found.failed else ()
    if not found.ttft:
        return Figure(title, "No request succeeded.", (), None)
    if len(found.ttft) <= most:
        chart = charts.dots(found.ttft, found.failed, duration_s)
        note = "Each dot is a request, at the time it was sent." + _scale(chart)
        return Figure(title, note, (("p50", "request"), *keys), chart)
    gathered = series.buckets(found.ttft, duration_s)
    chart = charts.lines(gathered, found.failed, duration_s)
    note = f"Requests by the time they were sent, in steps of {_step(gathered)}." + _scale(chart)
    return Figure(title, note, (*_LINE_KEYS, *keys), chart)


def _itl(found: series.PointSeries, duration_s: float) -> Figure:
    title = "Inter-token latency"
    if not found.itl.items:
        return Figure(title, "No reply had more than one chunk.", (), None)
    chart = charts.lines(found.itl, (), duration_s)
    note = f"Gaps between chunks of all requests, in steps of {_step(found.itl)}." + _scale(chart)
    return Figure(title, note, _LINE_KEYS, chart)


_LINE_KEYS = (("p50", "median"), ("p99", "P99"), ("max", "up to the largest"))


def _step(gathered: series.Buckets) -> str:
    return f"{gathered.width_s:,.6f}".rstrip("0").rstrip(".") + " s"


def _scale(chart: charts.Chart) -> str:
    return " Logarithmic scale." if chart.log else ""


def _phases(seconds: Mapping[str, float]) -> list[Phase]:
    longest = max(seconds.values())
    return [
        Phase(
            name,
            f"{value:.2f} s" if longest < 60 else figures.seconds(value),
            round(100 * value / (longest or 1.0), 2),
        )
        for name, value in seconds.items()
    ]


def _manifest(run: Run) -> list[tuple[str, list[outline.Row]]]:
    if run.manifest is None:
        return outline.sections(asdict(run.home)) if run.home else []
    plain = encode(run.manifest)
    plain["spec"].pop("recipe_yaml", None)  # it stands on the page as it was written
    return outline.sections(plain)


def _why_nothing(run: Run) -> tuple[str, ...]:
    if run.home is None or run.home.error is None:
        return (f"The run is {run.state}; no result of it came home.",)
    error = run.home.error
    where = (f"Phase: {error.phase}.",) if error.phase else ()
    return tuple(part for part in (error.what, error.advice, *where) if part)


def _workload(workload: Mapping[str, Any]) -> str:
    known = ("name", "input_len", "output_len", "seed")
    if any(key not in workload for key in known):
        return ""
    return "{name}, {input_len} → {output_len} tokens, seed {seed}".format(**workload)


def _search(search: Mapping[str, Any] | None) -> str:
    """What a search found, and over what."""
    if not search:
        return ""
    over, share = str(search.get("over")).replace("_", " "), search.get("share")
    least = f"{100 * share:g} % of requests good" if share else "requests good"
    if search.get("highest") is None:
        return f"{over}: none held with {least}"
    return f"{over} {search['highest']:g} is the highest with {least}"


def _notes(server: Mapping[str, Any] | None) -> str:
    """What the probe found lacking, and what was done instead."""
    notes = (server or {}).get("notes") or ()
    return " ".join(map(str, notes))


def _host(host: Mapping[str, Any]) -> str:
    cores = f"{host['cores']} cores" if host.get("cores") else ""
    parts = (str(host.get("hostname", "")), str(host.get("cpu", "")), cores)
    return ", ".join(part for part in parts if part)


def _accelerators(hosts: Any) -> str:
    """What the stack said of its hosts: how many of which."""
    if not isinstance(hosts, list):
        return ""
    found = [host.get("accelerator") for host in hosts if isinstance(host, Mapping)]
    return ", ".join(f"{a.get('count')} \u00d7 {a.get('name')}" for a in found if a)


def _price(price: Any) -> str:
    """The price with where and when it is from; a price of nothing is not worth a line."""
    if not isinstance(price, Mapping) or not price.get("usd_per_hour"):
        return ""
    source = ", ".join(str(price[k]) for k in ("model", "source", "date") if price.get(k))
    return f"${figures.number(price['usd_per_hour'], 2)} per hour ({source})"


def _which(run: Run, best: PointSummary) -> str:
    """Whose figures the headline shows."""
    if not best.verdict.valid:
        return f"at {best.point.name}, not valid"
    return f"at {best.point.name}" if len(run.points) > 1 else figures.load(best.point)


def _p99(stats: Any) -> str:
    return f"P99 {figures.number(figures.percentile(stats, 'p99'))} ms" if stats else "none"
