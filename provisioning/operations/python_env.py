"""A virtual environment for engines that run without a container, made by uv.

uv comes from a package index, as a wheel with a pinned hash: no installer is piped into a shell.
It is fetched by the Python that the agent needs anyway, with our own pip, for fresh Debian and
Ubuntu hosts have neither pip nor what ``python3 -m venv`` would make one from. uv itself is not
sent from here: a host that reaches no index could not be given the packages either.

An environment is made under another name and renamed: it is whole, or not there. Its name holds
what it was made from, so that a change of the recipe makes another one beside it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from provisioning import own_pip
from provisioning.command import Command, Fact, Secret
from provisioning.errors import HostError
from provisioning.facts.python import Pythons, usable
from provisioning.facts.python_env import PythonEnv
from provisioning.facts.system import System
from provisioning.facts.uv import Uv
from provisioning.host import Host
from provisioning.host_schema import PythonPackages
from provisioning.needs import Needs
from provisioning.versions import UV, UV_HASHES
from provisioning.volume import ENVIRONMENTS

_FOLDER = Path(__file__).parent
_FETCH = (_FOLDER / "uv_fetch.sh").read_text(encoding="utf-8")
_MAKE = (_FOLDER / "python_env.sh").read_text(encoding="utf-8")
_PROGRAM = f"uv/{UV}/uv"


def path(needs: Needs) -> str:
    """The folder of the environment that the recipe asks for; its Python is in ``bin``.

    Raises:
        ValueError: it asks for none.
    """
    asked = needs.needs.python
    if asked is None:
        raise ValueError("the recipe asks for no virtual environment")
    return f"{needs.data}/{ENVIRONMENTS}/{identity(asked)}"


def identity(asked: PythonPackages) -> str:
    """Requirements, Python and uv, and what else there is, as 12 hexadecimal digits."""
    further = [asked.overrides, asked.aliases] if asked.overrides or asked.aliases else []
    made_from = json.dumps([asked.packages, asked.python, UV, *further])
    return hashlib.sha256(made_from.encode()).hexdigest()[:12]


def fetched(host: Host, asked: PythonPackages, folder: str) -> Iterator[Command]:
    """The uv that is pinned is on the host; nothing where the environment in *folder* is.

    Raises:
        HostError: the host has no Python, or its processor is none that uv is made for.
    """
    if host.fact(PythonEnv(folder)) is not None or host.fact(Uv(_PROGRAM)):
        return
    python = usable(host.fact(Pythons), host.name)
    machine = host.fact(System).machine
    if machine not in UV_HASHES:
        raise HostError(
            f"uv is not made for the processor of {host.name} ({machine}).",
            f"Take a machine with {' or '.join(UV_HASHES)}.",
            host=host.name,
        )
    hashes = " ".join(f"--hash=sha256:{value}" for value in UV_HASHES.values())
    yield Command.shell(
        _FETCH,
        python.path,
        host.path(_PROGRAM),
        f"uv=={UV} {hashes}",
        *_trusted(asked.index_url),
        stdin=own_pip.archive(),
        shown=f"fetch uv {UV}",
        explain=explained,
        **_index("PIP_INDEX_URL", asked.index_url, {}),
    )


def made(host: Host, asked: PythonPackages, folder: str) -> Iterator[Command]:
    """The environment *asked* for is in *folder*.

    Raises:
        HostError: the host has no Python.
    """
    if host.fact(PythonEnv(folder)) is not None:
        return
    python = asked.python or usable(host.fact(Pythons), host.name).path
    env = {"UV_NO_CONFIG": "1", "UV_PYTHON_PREFERENCE": "system", "UV_SYSTEM_CERTS": "true"}
    yield Command.shell(
        _MAKE,
        folder,
        host.path(_PROGRAM),
        python,
        f"{folder.rpartition('/')[0]}/uv",
        stdin="".join(f"{line}\n" for line in _wanted(asked)),
        shown=f"make the environment {folder} with {', '.join(asked.packages)}",
        explain=explained,
        **_index("UV_DEFAULT_INDEX", asked.index_url, env),
    )


def facts(folder: str) -> tuple[Fact[Any], ...]:
    """What the operations here ask; gather it with other facts to save an exchange."""
    return (PythonEnv(folder), Uv(_PROGRAM), Pythons(), System())


def _wanted(asked: PythonPackages) -> Iterator[str]:
    """What the script reads, a kind and a value a line."""
    yield from (f"package {requirement}" for requirement in asked.packages)
    yield from (f"override {requirement}" for requirement in asked.overrides)
    yield from (f"alias {name} {version}" for name, version in asked.aliases.items())


def _trusted(url: str | None) -> tuple[str, ...]:
    """Options of pip's. What comes without TLS has its hash."""
    if url is None or not url.startswith("http:"):
        return ()
    return ("--trusted-host", urlsplit(url).netloc.rpartition("@")[2])


def _index(name: str, url: str | None, env: Mapping[str, str]) -> dict[str, Any]:
    """Environment for a `Command`, with the index under *name*; one with a password is secret."""
    if url is None:
        return {"env": env}
    if "@" in urlsplit(url).netloc:
        return {"env": env, "secret_env": {name: Secret(url)}}
    return {"env": {**env, name: url}}


def explained(said: str) -> tuple[str, str] | None:
    """What kept uv from its work, and what to do, by what it printed."""
    for pattern, what, advice in _TROUBLE:
        if found := re.search(pattern, said):
            return what.format(*(" ".join(part.split()) for part in found.groups() if part)), advice
    return None


_TROUBLE = (
    (
        r"No matching distribution found for (uv==\S+)",
        "The host cannot fetch {0} from a package index.",
        "Open its way out, or name a mirror that has it in host.python.index_url.",
    ),
    (
        r"(?:DO NOT MATCH THE HASHES|hashes are required|HashMismatch)",
        "The package index of the host has another uv than the one that is pinned.",
        "Nothing was installed; name another mirror in host.python.index_url.",
    ),
    (
        r"No space left on device|Disk quota exceeded",
        "The host has no space left for the virtual environment.",
        "Make room there, or ask for a data disk (host.data_disk).",
    ),
    (
        r"No interpreter found for (Python \S+)|Failed to download https://\S*(cpython-[\d.]+)",
        "The host has no {0}, and uv could not bring it.",
        "Install it by host.packages, or ask for the Python that the host has (host.python).",
    ),
    (
        r"(?:Failed to fetch:|error sending request for url) [`(]?([^\s`)]+)",
        "The host cannot fetch packages from {0}.",
        "Open its way out, or name a mirror in host.python.index_url.",
    ),
    (
        r"No solution found when resolving dependencies:?\s+(?:cause:|\W+)\s*(.{1,300})",
        "The packages of host.python cannot be installed: {0}",
        "Correct host.python.packages, or ask for another Python (host.python.python).",
    ),
)
