"""A smoke test of engines that are ready: one exchange, before any load is put on them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench_agent.protocol import Target
from provisioning.command import quote
from provisioning.errors import LaunchError
from provisioning.facts.python import Pythons, usable
from provisioning.host import Host

_PROBE = Path(__file__).parent / "smoke_probe.py"
#: Tokens that each reply has to have.
TOKENS = 16
#: One reply of a model that has just been loaded.
_ANSWER_S = 120.0


@dataclass(frozen=True)
class Check:
    """One thing that was looked at: ``health``, ``models``, ``completion``, ``gpu``; where there
    are several engines, ``completion 2``.
    """  # noqa: D205 - one thought

    name: str
    ok: bool
    what: str


@dataclass(frozen=True)
class Smoke:
    """What came of it, up to the first that failed. Figures are of the last reply (`seconds` for
    all of it); `ignore_eos`: whether the engine heeds that.
    """  # noqa: D205 - one thought

    checks: tuple[Check, ...]
    tokens: int = 0
    prompt_tokens: int = 0
    ignore_eos: bool = False
    seconds: float = 0.0

    @property
    def failed(self) -> Check | None:
        """The check that failed, if one did."""
        return next((check for check in self.checks if not check.ok), None)

    def about(self) -> dict[str, Any]:
        """For the manifest."""
        return asdict(self)


def smoke(host: Host, target: Target, *, gpu: bool = False) -> Smoke:
    """See that all engines of *target* serve its model, in tokens that are right; and, with *gpu*,
    that they are on one.

    Raises:
        LaunchError: they do not; says which check failed, and what was seen.
    """  # noqa: D205 - one thought
    found = ask(host, target, gpu=gpu)
    if bad := found.failed:
        raise LaunchError(
            f"The engine is ready, but its smoke test failed ({bad.name}): {bad.what}.",
            "Look at its log (`fab logs --engine`), or let `fab diagnose` do it.",
            phase="smoke",
            host=host.name,
        )
    return found


def ask(host: Host, target: Target, *, gpu: bool = False) -> Smoke:
    """The checks, whatever comes of them.

    Raises:
        LaunchError: they could not be made.
    """
    python = usable(host.fact(Pythons), host.name).path
    task = {
        "base_urls": target.base_urls,
        "model": target.model,
        "api": target.api,
        "api_key_file": target.api_key_file,
        "pids": _pids(target),
        "gpu": gpu,
        "tokens": TOKENS,
        "timeout_s": _ANSWER_S,
    }
    command = quote(python, "-I", "-S", "-", json.dumps(task))
    longest_s = 2 * _ANSWER_S * (1 + len(target.base_urls))
    done = host.remote.run(command, stdin=_PROBE.read_bytes(), timeout_s=longest_s)
    try:
        told = json.loads(done.stdout)
    except ValueError:
        raise LaunchError(
            "The smoke test could not be made.",
            "Try again (`fab smoke`).",
            phase="smoke",
            host=host.name,
            log=done.stderr,
        ) from None
    return Smoke(tuple(Check(**check) for check in told.pop("checks")), **told)


def _pids(target: Target) -> list[int]:
    """Of the engines; a front before them, which is the last one, needs no GPU."""
    pids = [one.pid for one in target.engines]
    return pids[:-1] if len(pids) > len(target.base_urls) else pids
