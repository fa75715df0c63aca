"""One small GET, with a limit on its time."""

from __future__ import annotations

from contextlib import closing

from bench_agent.client import Client, FetchError

__all__ = ["FetchError", "get"]


def get(
    base_url: str,
    path: str,
    *,
    timeout_s: float = 0.5,
    key: str | None = None,
    ca_file: str | None = None,
    insecure: bool = False,
) -> tuple[int, bytes]:
    """Status and body of ``GET base_url + path``.

    Raises:
        FetchError: no connection, no HTTP, or not in time.
    """
    made = Client(base_url, key=key, ca_file=ca_file, insecure=insecure, timeout_s=timeout_s)
    with closing(made) as client:
        return client.request("GET", path)
