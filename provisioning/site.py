"""Where a run takes place: a stack's host, or this machine for a server that is only a URL."""

from __future__ import annotations

import getpass
import http.client
import json
import os
import re
import socket
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from provisioning import stack
from provisioning.command import Secret
from provisioning.errors import LaunchError, UsageError
from provisioning.host import Host
from provisioning.remote import LocalRemote, Remote, SshRemote
from stacks.outputs import StackOutputs

#: The name under which runs against a bare URL are filed.
URL_STACK = "url"
_KEYS = ("VLLM_API_KEY", "OPENAI_API_KEY")
_PROBE_TIMEOUT_S = 10.0
_HOST = re.compile(r"[A-Za-z0-9._:-]+")


@dataclass(frozen=True)
class Site:
    """`outputs` None: this machine, for a server at `url` that somebody else runs."""

    stack: str
    remote: Remote
    workdir: str
    outputs: StackOutputs | None = None
    url: str | None = None

    def host(self) -> Host:
        """The host as operations see it, changes audited under our name."""
        return Host(self.remote, self.workdir, who=owner())

    def context(self) -> dict[str, Any]:
        """What the manifest should know of the place: no secrets, no addresses of logins."""
        if self.outputs is None:
            return {"stack": self.stack, "url": self.url}
        one = self.outputs.as_dict()
        keep = ("stack", "cloud", "region", "zone", "price", "created_at", "expires_at")
        hosts = [{k: h[k] for k in ("name", "roles", "accelerator")} for h in one["hosts"]]
        return {key: one[key] for key in keep} | {"hosts": hosts}


def of_stack(outputs: StackOutputs) -> Site:
    """The first host of a stack; this machine for a stack of URLs only."""
    if not outputs.hosts:
        return Site(outputs.stack, LocalRemote(_here()), str(_here()), outputs, _url(outputs))
    host = outputs.hosts[0]
    return Site(outputs.stack, SshRemote(host, outputs.ssh_private_key), host.workdir, outputs)


def of_url(url: str) -> Site:
    """A server that already runs, loaded from this machine.

    Raises:
        UsageError: *url* is none.
    """
    try:
        parts = urlsplit(url)
        host, port, path = parts.hostname, parts.port, parts.path.rstrip("/")
    except ValueError:
        raise _no_address(url) from None
    fits = parts.scheme == "http" and host and path in ("", "/v1") and not parts.query
    if not fits or not _HOST.fullmatch(host or "") or "@" in parts.netloc or port == 0:
        raise _no_address("It" if "@" in url else url)
    plain = f"{parts.scheme}://{parts.netloc}"
    return Site(URL_STACK, LocalRemote(_here()), str(_here()), None, plain)


def _no_address(url: str) -> UsageError:
    return UsageError(
        f"{url} is no address that can be loaded.",
        f"Give it as http://HOST:PORT; a key goes into ${_KEYS[0]}.",
    )


def here() -> Site:
    """Runs of this machine against bare URLs, whatever the URL was."""
    return Site(URL_STACK, LocalRemote(_here()), str(_here()), None, "")


def owner() -> str:
    """Who we are: user and machine."""
    return f"{getpass.getuser()}@{socket.gethostname()}"


def api_key() -> Secret | None:
    """The key of a server at a URL, from the environment."""
    return next((Secret(os.environ[name]) for name in _KEYS if os.environ.get(name)), None)


def served_model(url: str, key: Secret | None) -> str:
    """The model that a server says it serves.

    Raises:
        LaunchError: it does not answer, refuses, or serves none.
    """
    request = urllib.request.Request(f"{url}/v1/models")
    if key is not None:
        request.add_header("Authorization", f"Bearer {key.reveal()}")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=_PROBE_TIMEOUT_S) as reply:
            models = [str(model["id"]) for model in json.load(reply)["data"]]
    except urllib.error.HTTPError as error:
        error.close()
        raise _no_models(url, f"answers {error.code}") from None
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
        raise _no_models(url, f"does not answer: {getattr(error, 'reason', error)}") from None
    if not models:
        raise _no_models(url, "serves no model")
    return models[0]


def _no_models(url: str, what: str) -> LaunchError:
    return LaunchError(
        f"{url}/v1/models {what}.",
        f"Start the server; its key, if it wants one, goes into ${_KEYS[0]}.",
    )


def _url(outputs: StackOutputs) -> str | None:
    return outputs.endpoints[0].inference_url if outputs.endpoints else None


def _here() -> Path:
    home = os.environ.get("LLM_DYNO_HOME")
    return (Path(home) if home else stack.ROOT / ".dyno").resolve() / "here"
