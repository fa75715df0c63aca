"""The part of a recipe that says what a point may do and still be valid."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from bench_agent import protocol
from provisioning.recipe_values import Above, Seconds, Share, Strict

_DEFAULTS = protocol.Limits()


class Limits(Strict):
    """What a point may do and still be valid."""

    max_failed_share: Share = Field(
        default=_DEFAULTS.max_failed_share, description="Failed requests, of all."
    )
    request_timeout_s: Seconds = Field(
        default=_DEFAULTS.request_timeout_s, description="A request that takes longer has failed."
    )
    stall_timeout_s: Seconds = Field(
        default=_DEFAULTS.stall_timeout_s,
        description="A reply that is silent for longer, once it has begun, has failed.",
    )
    max_send_delay_ms: Above = Field(
        default=_DEFAULTS.max_send_delay_ms, description="P99 of how late the client sent."
    )
    max_coalesced_share: Share = Field(
        default=_DEFAULTS.max_coalesced_share, description="Reads that held several tokens, of all."
    )
    max_client_error_ms: Above = Field(
        default=_DEFAULTS.max_client_error_ms, description="Mean error of TTFT seen in calibration."
    )
    max_client_cpu: Above = Field(
        default=_DEFAULTS.max_client_cpu,
        description="CPU of the client's busiest process, in cores.",
    )
    max_client_lag_ms: Above = Field(
        default=_DEFAULTS.max_client_lag_ms,
        description="P99 of how late the client's own loop woke up.",
    )
    max_token_gap: Share = Field(
        default=_DEFAULTS.max_token_gap,
        description="Share by which client and server may disagree on tokens.",
    )
    max_cache_hit_excess: Share = Field(
        default=_DEFAULTS.max_cache_hit_excess,
        description="Prefix-cache hits, of all prompt tokens, beyond what the workload intends.",
    )
    max_preemptions: Annotated[int, Field(ge=0)] = Field(
        default=_DEFAULTS.max_preemptions, description="Requests that the server preempted."
    )
    max_throttled_share: Share = Field(
        default=_DEFAULTS.max_throttled_share,
        description="GPU samples under thermal or hardware slowdown, of all.",
    )
    max_drift: Annotated[float, Field(ge=0, allow_inf_nan=False)] = Field(
        default=_DEFAULTS.max_drift,
        description="Change of output throughput from first to second half, as a share.",
    )

    def protocol(self) -> protocol.Limits:
        """The same, for the agent."""
        return protocol.Limits(**self.model_dump())
