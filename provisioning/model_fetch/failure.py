"""Why there is no model: the library's exceptions, sorted."""

from __future__ import annotations

import errno
from http import HTTPStatus

#: An exception's class, by name, and what it means.
_KINDS = (
    ("RepositoryNotFoundError", "model"),
    ("RevisionNotFoundError", "revision"),
    ("TransportError", "egress"),
)


class Failure(Exception):  # noqa: N818 - it is told, as a kind, to the controller
    """`kind`, `detail` in words, and figures."""

    def __init__(self, kind: str, detail: str = "", **figures: int) -> None:
        super().__init__(kind, detail)
        self.kind = kind
        self.detail = detail
        self.figures = figures

    @property
    def passing(self) -> bool:
        """Whether another try may help."""
        return self.kind in {"egress", "hub", "damaged"}


def failure_of(error: BaseException, *, with_token: bool = False) -> Failure:
    """What an exception, or one behind it, means."""
    each: BaseException | None = error
    while each is not None:
        if isinstance(each, Failure):
            return each
        kind = _kind(each, with_token=with_token)
        if kind:
            return Failure(kind, words(each))
        each = each.__cause__ or each.__context__
    return Failure("other", words(error))


def words(error: BaseException) -> str:
    """What the hub said, or else the first line of what the exception says."""
    said = getattr(error, "server_message", None) or str(error)
    return next(iter(str(said).strip().splitlines()), "") or type(error).__name__


def _kind(error: BaseException, *, with_token: bool) -> str | None:
    if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
        return "space"
    names = {base.__name__ for base in type(error).__mro__}
    if "GatedRepoError" in names:
        return "gated"
    status = getattr(getattr(error, "response", None), "status_code", 0)
    if status == HTTPStatus.UNAUTHORIZED:
        # Whoever shows no token is told so of what does not exist, too.
        return "token" if with_token else "model"
    for name, kind in _KINDS:
        if name in names:
            return kind
    if status == HTTPStatus.FORBIDDEN:
        return "forbidden"
    busy = status == HTTPStatus.TOO_MANY_REQUESTS
    return "hub" if busy or status >= HTTPStatus.INTERNAL_SERVER_ERROR else None
