"""Refusals, as vLLM words them."""

from __future__ import annotations

from typing import Any

_TYPES = {400: "BadRequestError", 404: "NotFoundError", 413: "BadRequestError"}


class Refusal(Exception):  # noqa: N818 - it is an answer, not a fault
    """A request that is answered with an error: HTTP status and JSON body."""

    def __init__(
        self, status: int, message: str, param: str | None = None, *, body: Any = None
    ) -> None:
        super().__init__(message)
        self.status = status
        kind = _TYPES.get(status, "InternalServerError")
        error = {"message": message, "type": kind, "param": param, "code": status}
        self.body = {"error": error} if body is None else body


def unauthorized() -> Refusal:
    """The key is missing or wrong."""
    return Refusal(401, "Unauthorized", body={"error": "Unauthorized"})


def no_such_path() -> Refusal:
    """Nothing answers there."""
    return Refusal(404, "Not Found", body={"detail": "Not Found"})


def wrong_method() -> Refusal:
    """The path is known, the method is not."""
    return Refusal(405, "Method Not Allowed", body={"detail": "Method Not Allowed"})
