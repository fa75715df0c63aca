"""The part of a recipe that says what load is put on: workload, points, search."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from bench_agent import protocol
from provisioning.recipe_values import Above, Count, Counts, Rate, Rates, Seconds, Strict


class Workload(Strict):
    """A named traffic shape."""

    name: str = Field(default="random", description="A module of bench_agent/workloads.")
    input_len: Count = Field(default=128, description="Tokens of a prompt.")
    output_len: Count = Field(default=64, description="Tokens of a reply.")
    seed: int = Field(default=0, description="The same seed makes the same prompts.")
    options: dict[str, Any] = Field(
        default_factory=dict,
        description="The workload's own options; `path` is a file beside the recipe, or here.",
    )

    def protocol(self) -> protocol.Workload:
        """The same, for the agent."""
        return protocol.Workload(**self.model_dump())


class RampUp(Strict):
    """A rate that changes over a point."""

    strategy: Literal["linear", "exponential"] = Field(
        default="linear", description="How the rate changes, as vLLM's `--ramp-up-strategy`."
    )
    start_rps: Above = Field(description="Requests a second at first.")
    end_rps: Above = Field(description="Requests a second in the end.")

    def protocol(self) -> protocol.RampUp:
        """The same, for the agent."""
        return protocol.RampUp(**self.model_dump())


class Point(Strict):
    """One load level, or a ladder of them."""

    num_prompts: Count | None = Field(
        default=None, description="Requests to send; without it, as many as duration_s lets."
    )
    num_prompts_per_concurrency: Count | None = Field(
        default=None, description="Requests to send, as a multiple of max_concurrency."
    )
    duration_s: Seconds | None = Field(
        default=None, description="No request is sent later than this; those in flight may end."
    )
    max_concurrency: Counts | None = Field(
        default=None, description="Requests open at a time, at most; a list is a ladder of points."
    )
    request_rate: Rates | None = Field(
        default=None,
        description="Requests a second, or `inf`: as fast as max_concurrency lets; "
        "a list is a ladder of points.",
    )
    burstiness: Rate = Field(
        default=1.0,
        description="Shape of the arrivals of a rate, as vLLM defines it: 1 is Poisson, "
        "less is burstier, `inf` a constant interval.",
    )
    ramp_up: RampUp | None = Field(
        default=None, description="A rate that changes over the point, in place of request_rate."
    )
    ramp_up_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = Field(
        default=0.0, description="Without a rate: max_concurrency is reached evenly over this long."
    )
    arrivals: Literal["rate", "trace"] = Field(
        default="rate", description="`trace`: requests are due when the workload's trace says."
    )
    repeats: Annotated[int, Field(ge=1, le=20)] = Field(
        default=1, description="Times that the point is measured; each is a point of its own."
    )
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{0,31}$")] | None = Field(
        default=None,
        description="Name of its folder, after its number; by default made of its load.",
    )

    @model_validator(mode="after")
    def _fits(self) -> Point:
        problem = next(self._problems(), None)
        if problem:
            raise ValueError(problem)
        return self

    def _problems(self) -> Iterator[str]:
        cap, rate, ramp = self.max_concurrency, self.request_rate, self.ramp_up
        trace = self.arrivals == "trace"
        finite = any(each != "inf" for each in _steps(rate)) and rate is not None
        if isinstance(cap, list) and isinstance(rate, list):
            yield "max_concurrency and request_rate cannot both be lists"
        if trace and (rate is not None or ramp):
            yield "a trace has its own arrivals: leave out request_rate and ramp_up"
        if rate is not None and ramp:
            yield "ramp_up takes the place of request_rate: leave one out"
        if cap is None and rate is None and not ramp and not trace:
            yield "needs max_concurrency or request_rate (a number, or inf)"
        if self.burstiness != 1.0 and not finite and not ramp:
            yield "burstiness shapes a rate: it needs a finite request_rate or ramp_up"
        if self.ramp_up_s and (cap is None or finite or ramp or trace):
            yield "ramp_up_s needs max_concurrency and no rate"
        yield from self._problems_of_size(trace=trace, timed=finite or bool(ramp))

    def _problems_of_size(self, *, trace: bool, timed: bool) -> Iterator[str]:
        times = self.num_prompts_per_concurrency
        if times and self.num_prompts:
            yield "num_prompts and num_prompts_per_concurrency: leave one out"
        if times and self.max_concurrency is None:
            yield "num_prompts_per_concurrency needs max_concurrency"
        if trace and self.duration_s is None:
            yield "a trace needs duration_s: how much of it is played"
        if not (times or self.num_prompts or self.duration_s):
            yield "needs num_prompts or duration_s"
        endless = not (times or self.num_prompts or self.max_concurrency)
        if endless and not trace and (not timed or "inf" in _steps(self.request_rate)):
            yield "request_rate inf without max_concurrency needs num_prompts"

    def levels(self) -> list[Point]:
        """One point for each step of the ladder; itself where there is none."""
        caps, rates = _steps(self.max_concurrency), _steps(self.request_rate)
        changes = [{"max_concurrency": c, "request_rate": r} for c in caps for r in rates]
        return [self.model_copy(update=change) for change in changes]

    def label(self) -> str:
        """``c4``, ``inf``, ``qps2.5``, ``c4-qps2.5``, ``ramp1-10``, ``trace``, or its own name."""
        cap = None if self.max_concurrency is None else f"c{self.max_concurrency}"
        if self.name:
            return self.name
        return "-".join(part for part in (cap, self._rate_label()) if part) or "inf"

    def _rate_label(self) -> str | None:
        if self.ramp_up:
            return f"ramp{_plain(self.ramp_up.start_rps)}-{_plain(self.ramp_up.end_rps)}"
        if self.arrivals == "trace":
            return "trace"
        return f"qps{_plain(self.request_rate)}" if isinstance(self.request_rate, float) else None

    def protocol(self, name: str, repeat_of: str | None = None) -> protocol.Point:
        """The same, for the agent; of a level, not of a ladder."""
        cap, rate = self.max_concurrency, self.request_rate
        if isinstance(cap, list) or isinstance(rate, list):
            raise TypeError("a ladder is several points; see levels()")
        times = self.num_prompts_per_concurrency
        return protocol.Point(
            name=name,
            num_prompts=times * (cap or 1) if times else self.num_prompts,
            max_concurrency=cap,
            request_rate=_finite(rate),
            duration_s=self.duration_s,
            burstiness=_finite(self.burstiness),
            ramp_up=self.ramp_up.protocol() if self.ramp_up else None,
            ramp_up_s=self.ramp_up_s,
            arrivals=self.arrivals,
            repeat_of=repeat_of,
        )


class Search(Strict):
    """A search for the highest load that still meets the goodput objectives."""

    over: Literal["max_concurrency", "request_rate"] = Field(description="What is turned up.")
    low: Above = Field(description="Load to begin at.")
    high: Above = Field(description="Load beyond which nothing is tried.")
    share: Annotated[float, Field(gt=0, le=1)] = Field(
        default=0.99, description="Requests that must meet load.goodput, of all."
    )
    precision: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.05, description="Width of the answer's bracket, as a share of its lower end."
    )
    max_steps: Annotated[int, Field(ge=1, le=50)] = Field(
        default=12, description="Points to try, at most."
    )
    num_prompts: Count | None = Field(default=None, description="Requests of each point.")
    duration_s: Seconds | None = Field(default=None, description="Duration of each point.")
    burstiness: Rate = Field(default=1.0, description="As with a point.")

    @model_validator(mode="after")
    def _fits(self) -> Search:
        if self.low >= self.high:
            raise ValueError("low must be less than high")
        whole = self.low.is_integer() and self.high.is_integer()
        if self.over == "max_concurrency" and not whole:
            raise ValueError("low and high must be whole numbers of max_concurrency")
        if not self.num_prompts and not self.duration_s:
            raise ValueError("needs num_prompts or duration_s")
        return self

    def protocol(self) -> protocol.Search:
        """The same, for the agent."""
        values = self.model_dump() | {"burstiness": _finite(self.burstiness)}
        return protocol.Search(**values)


class Goodput(Strict):
    """What makes a request good, as vLLM's `--goodput`: all that is said must hold."""

    ttft: Above | None = Field(default=None, description="Time to first token, ms at most.")
    tpot: Above | None = Field(default=None, description="Time per output token, ms at most.")
    e2el: Above | None = Field(default=None, description="End-to-end latency, ms at most.")

    def protocol(self) -> dict[str, float]:
        """The same, for the agent: milliseconds by metric."""
        return self.model_dump(exclude_none=True)


class Load(Strict):
    """The load."""

    api: Literal["completions", "chat"] = Field(
        default="completions", description="Endpoint that is used."
    )
    workload: Workload = Field(default_factory=Workload, description="The traffic's shape.")
    points: list[Point] = Field(min_length=1, description="Load levels, in order.")
    search: Search | None = Field(
        default=None, description="After the points: the highest load that meets load.goodput."
    )
    goodput: Goodput = Field(
        default_factory=Goodput, description="Service-level objectives of one request."
    )
    percentiles: list[Annotated[float, Field(gt=0, lt=100)]] = Field(
        default_factory=list,
        description="Percentiles beside 50, 90, 95 and 99; a point with too few requests for one "
        "of these is invalid.",
    )
    num_warmups: Annotated[int, Field(ge=0)] = Field(
        default=0, description="Requests before each point that are not counted."
    )
    point_gap_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = Field(
        default=0.0, description="Silence between points."
    )
    ignore_eos: bool = Field(default=True, description="Replies have their full length.")
    temperature: Annotated[float, Field(ge=0)] | None = Field(
        default=None, description="Sampling temperature; by default the server's."
    )
    extra_body: dict[str, Any] = Field(
        default_factory=dict, description="Further keys of each request."
    )
    keep_texts: bool = Field(
        default=False, description="Replies are kept in the records and in vllm.json."
    )
    routing: Literal["round_robin", "least_busy"] = Field(
        default="round_robin", description="Which of several instances gets the next request."
    )

    @model_validator(mode="after")
    def _fits(self) -> Load:
        if self.search and not self.goodput.protocol():
            raise ValueError("search needs goodput: what ttft, tpot or e2el a good request has")
        if self.workload.name != "trace" and any(p.arrivals == "trace" for p in self.points):
            raise ValueError("points: arrivals of a trace need the workload `trace`")
        if len(set(self.percentiles)) < len(self.percentiles):
            raise ValueError("percentiles: one stands twice")
        return self

    def protocol_points(self) -> tuple[protocol.Point, ...]:
        """The load levels for the agent, named in order: ``00-c4``, ``01-inf``, ``02-qps1-r1``."""
        return tuple(_numbered(self.points))


def _numbered(points: list[Point]) -> Iterator[protocol.Point]:
    index = 0
    for point in points:
        for level in point.levels():
            first = None
            for repeat in range(1, point.repeats + 1):
                label = level.label() + (f"-r{repeat}" if point.repeats > 1 else "")
                made = level.protocol(f"{index:02d}-{label}", first)
                first = first or made.name
                index += 1
                yield made


def _steps(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _finite(rate: float | str | None) -> float | None:
    return rate if isinstance(rate, float) else None


def _plain(number: Any) -> str:
    return f"{number:.10g}".replace("+", "")  # part of a folder's name
