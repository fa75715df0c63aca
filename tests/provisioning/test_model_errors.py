"""Why there is no model: each kind in a sentence, with what to do."""

from __future__ import annotations

from typing import Any

import pytest

from provisioning.model_errors import explained
from provisioning.models import HubModel

MODEL = HubModel("o/m", "v9", "https://hub", "/data/models")
TOKEN = "set HF_TOKEN to a token of an account that has access."
KEPT = "What was downloaded is kept: run it again."
ROOM = f"Make room there, or ask for a disk (host.data_disk). {KEPT}"
OTHERWISE = "or bring the model to the host and set model.path"
OURS = {"with_token": True}
CASES: list[tuple[dict[str, Any], str, str]] = [
    (
        {"kind": "model"},
        "https://hub has no model o/m that is open to everybody.",
        f"Correct model.name, or, if it is private, {TOKEN}",
    ),
    (
        {"kind": "model"} | OURS,
        "https://hub has no model o/m that your HF_TOKEN may see.",
        "Correct model.name.",
    ),
    (
        {"kind": "gated"} | OURS,
        "The model o/m is gated, and your HF_TOKEN's account has no access.",
        f"Ask for access at https://hub/o/m, and {TOKEN}",
    ),
    (
        {"kind": "gated"},
        "The model o/m is gated, and no HF_TOKEN is set.",
        f"Ask for access at https://hub/o/m, and {TOKEN}",
    ),
    (
        {"kind": "token"} | OURS,
        "https://hub does not accept your HF_TOKEN.",
        "Set HF_TOKEN to a valid token; a model that is open to everybody needs none.",
    ),
    (
        {"kind": "forbidden", "detail": "Access is disabled."},
        "https://hub refuses the model o/m: Access is disabled.",
        f"Look at https://hub/o/m, and {TOKEN}",
    ),
    (
        {"kind": "revision"},
        "https://hub has no revision v9 of the model o/m.",
        "Correct model.revision: a commit, a branch or a tag.",
    ),
    (
        {"kind": "egress", "detail": "Connection refused"},
        "The host does not get through to https://hub: Connection refused.",
        f"Open its way out, set model.hub to a mirror, {OTHERWISE}.",
    ),
    (
        {"kind": "hub", "detail": "503"},
        "https://hub is not well: 503.",
        f"Wait a while. {KEPT}",
    ),
    (
        {"kind": "space", "missing": 65_500_000_000, "free": 12_300_000_000},
        "65.50 GB of o/m are missing on /data/models, and there is room for 12.30 GB.",
        ROOM,
    ),
    ({"kind": "space", "detail": "ENOSPC"}, "The disk of /data/models is full.", ROOM),
    (
        {"kind": "damaged", "detail": "2 files had another content"},
        "The download of o/m was damaged: 2 files had another content.",
        "The damaged files were removed: run it again.",
    ),
    ({}, "The download of o/m was killed before its end, or the host restarted.", KEPT),
    ({"kind": "new", "detail": "KeyError"}, "The download of o/m failed: KeyError.", KEPT),
]


@pytest.mark.parametrize(("result", "what", "advice"), CASES)
def test_each_kind_has_its_sentence(result: dict[str, Any], what: str, advice: str) -> None:
    """One on what happened, one on what to do."""
    error = explained(MODEL, result, "h", "a line")
    assert (what, advice, "h", "a line") == (error.what, error.advice, error.host, error.log)
