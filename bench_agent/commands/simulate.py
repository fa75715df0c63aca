"""``simulate``: the simulator in the foreground."""

from __future__ import annotations

import argparse
import errno
import gc
import os
import signal
import sys

from bench_agent.simulator.log import Log
from bench_agent.simulator.options import Options
from bench_agent.simulator.server import Simulator, listen

PORT_IN_USE = 98


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of this command."""
    default = Options()
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--model", default=default.model)
    parser.add_argument("--ttft-ms", type=float, default=default.ttft_ms)
    parser.add_argument("--itl-ms", type=float, default=default.itl_ms)
    parser.add_argument("--max-num-seqs", type=int, default=default.max_num_seqs)
    parser.add_argument("--max-tokens", type=int, default=default.max_tokens)
    parser.add_argument("--max-model-len", type=int, default=default.max_model_len)


def run(args: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT."""
    if min(args.ttft_ms, args.itl_ms) < 0 or args.max_num_seqs < 1 or args.max_tokens < 1:
        print("Times must not be negative and limits must be at least 1.", file=sys.stderr)
        return 2
    options = Options(
        model=args.model,
        ttft_ms=args.ttft_ms,
        itl_ms=args.itl_ms,
        max_num_seqs=args.max_num_seqs,
        max_tokens=args.max_tokens,
        max_model_len=args.max_model_len,
        api_key=os.environ.get("VLLM_API_KEY") or None,
    )
    try:
        listener = listen(args.host, args.port)
    except (OSError, OverflowError) as error:
        return _no_port(args, error)
    Simulator(options, listener, Log(), _stop_on_signals()).serve()
    return 0


def _no_port(args: argparse.Namespace, error: Exception) -> int:
    taken = getattr(error, "errno", None) == errno.EADDRINUSE
    why = "is already in use" if taken else f"cannot be used ({error})"
    advice = "Stop what listens there or choose another --port."
    print(f"Port {args.port} on {args.host} {why}. {advice}", file=sys.stderr)
    return PORT_IN_USE if taken else 2


def _stop_on_signals() -> int:
    """A descriptor that becomes readable on SIGTERM or SIGINT."""
    gc.freeze()  # what is loaded stays; the collector need not walk it between tokens
    readable, writable = os.pipe()
    os.set_blocking(writable, False)
    signal.set_wakeup_fd(writable)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    return readable
