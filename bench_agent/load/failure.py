"""Why a request failed, if it did: its class and a sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench_agent.load.reply import Reading

Failure = tuple[str | None, str | None]
#: A server may close with a chunk or two that hold no token.
_EMPTY_CHUNKS = 2


def failure_of(reading: Reading) -> Failure:
    """Class (`protocol.FAILURES`) and error of what was read; two times None for a success."""
    exchange = reading.exchange
    if exchange.cause == "refused" or not exchange.reads:
        return exchange.cause if exchange.cause != "closed" else "reset", exchange.error
    if reading.status is not None and reading.status != 200:
        return "http_error", _body(reading) or f"status {reading.status}"
    told = (
        ("bad_reply", reading.broken_http),
        ("bad_reply", exchange.error if exchange.cause == "bad_reply" else None),
        ("stream_error", reading.stream_error),
        ("bad_reply", reading.garbage),
        ("wrong_usage", reading.bad_usage),
    )
    return next((found for found in told if found[1] is not None), None) or _incomplete(reading)


def _body(reading: Reading) -> str:
    return reading.start_of_body.decode(errors="replace")[:500]


def _incomplete(reading: Reading) -> Failure:
    exchange = reading.exchange
    whole = reading.body is not None and reading.body.done
    if not whole and not (reading.done and reading.finish):
        cause = exchange.cause or "reset"
        if cause != "closed":
            return cause, exchange.error
        return "truncated", "the connection closed in the middle of the reply"
    if not reading.chunks and not reading.done and reading.start_of_body:
        return "bad_reply", f"not an event stream: {_body(reading)}"
    if not reading.finish:
        return "truncated", "the stream ended without a finish reason"
    if not reading.chunks:
        return "truncated", "the stream ended without a token"
    return _usage(reading) if reading.needs_usage or reading.usage else (None, None)


def _usage(reading: Reading) -> Failure:
    if reading.usage is None:
        return "no_usage", "the reply bears no token counts"
    prompt, output = reading.usage
    asked = reading.exchange.asked_tokens
    chunks = reading.chunks
    told = f"usage counts {output} output tokens, and {prompt} of the prompt"
    if prompt < 1 or output < 1:
        return "wrong_usage", told
    if asked is not None and output > asked:
        return "wrong_usage", f"{told}; {asked} were asked for"
    if chunks > output + _EMPTY_CHUNKS:
        return "wrong_usage", f"{told}; {chunks} chunks came"
    return None, None
