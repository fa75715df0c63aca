"""Exceptions of the library, sorted by what a person can do about them."""

from __future__ import annotations

import errno

import httpx
import pytest
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from provisioning.model_fetch.failure import Failure, failure_of, words


def answered(status: int, kind: type[HfHubHTTPError] = HfHubHTTPError) -> HfHubHTTPError:
    request = httpx.Request("GET", "http://hub/api/models/o/m")
    return kind("say\nmore", response=httpx.Response(status, request=request))


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (answered(403, GatedRepoError), "gated"),
        (answered(401, GatedRepoError), "gated"),
        (answered(404, RepositoryNotFoundError), "model"),
        (answered(401, RepositoryNotFoundError), "model"),
        (answered(404, RevisionNotFoundError), "revision"),
        (answered(401), "model"),
        (answered(403), "forbidden"),
        (answered(429), "hub"),
        (answered(503), "hub"),
        (answered(400), "other"),
        (httpx.ConnectError("refused"), "egress"),
        (httpx.ReadTimeout("silence"), "egress"),
        (httpx.RemoteProtocolError("cut"), "egress"),
        (OSError(errno.ENOSPC, "No space left on device"), "space"),
        (OSError(errno.EDQUOT, "Quota exceeded"), "space"),
        (PermissionError(errno.EACCES, "Permission denied"), "other"),
    ],
)
def test_an_exception_is_of_a_kind(error: Exception, kind: str) -> None:
    """The library's own, HTTP's and the system's."""
    assert kind == failure_of(error).kind


@pytest.mark.parametrize("kind", [HfHubHTTPError, RepositoryNotFoundError])
def test_not_authorised_with_a_token_is_the_tokens_fault(kind: type[HfHubHTTPError]) -> None:
    """Without one it is how a hub says that there is nothing."""
    assert "token" == failure_of(answered(401, kind), with_token=True).kind


def test_what_stands_behind_an_exception_counts() -> None:
    """The library wraps what happened in an error about its cache."""
    error = LocalEntryNotFoundError("nothing there")
    error.__cause__ = httpx.ConnectError("[Errno -2] Name or service not known")
    found = failure_of(error)
    assert ("egress", "[Errno -2] Name or service not known") == (found.kind, found.detail)


def test_a_failure_stays_what_it_is() -> None:
    """It was told where it was found."""
    failure = Failure("space", missing=2, free=1)
    assert failure is failure_of(failure)


def test_the_hubs_own_words_are_better() -> None:
    """Those of the library hold addresses and advice for programmers."""
    error = answered(404)
    assert "say" == words(error)
    error.server_message = "Repository not found\nreally"
    assert "Repository not found" == words(error)


def test_an_exception_without_words_has_a_name() -> None:
    """An empty sentence would tell nothing."""
    assert "KeyError" == words(KeyError())


@pytest.mark.parametrize(
    ("kind", "passing"), [("egress", True), ("hub", True), ("damaged", True), ("gated", False)]
)
def test_some_failures_pass(kind: str, passing: bool) -> None:
    """Only those are worth another try."""
    assert passing is Failure(kind).passing
