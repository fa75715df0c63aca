"""A model that is made on the host out of another: what it is called, and by what it is made."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass

from provisioning import model_convert, model_fetch, models
from provisioning.facts.conversions import Conversions
from provisioning.facts.download import Download
from provisioning.facts.model_folder import ModelFolder
from provisioning.host import Host
from provisioning.host_schema import PythonPackages
from provisioning.models import HubModel
from provisioning.needs import Needs
from provisioning.operations import python_env
from provisioning.versions import CONVERTER
from provisioning.volume import ENVIRONMENTS, MODELS

_COMMIT = re.compile(r"[0-9a-f]{40}")
_NO_NAME = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True)
class Source:
    """What it is made from: where that lies on the host, and what tells it from another."""

    path: str
    identity: str


@dataclass(frozen=True)
class Conversion:
    """*origin* (a name or a folder) in *scheme*, wanted below *data*; `hub` None for a folder."""

    origin: str
    scheme: str
    ignore: tuple[str, ...]
    data: str
    hub: HubModel | None
    index_url: str | None = None

    @property
    def made(self) -> Conversions:
        """What has been made already."""
        return Conversions(f"{self.data}/{MODELS}/converted")

    @property
    def tool(self) -> PythonPackages:
        """The converter."""
        return PythonPackages(packages=list(CONVERTER), index_url=self.index_url)

    @property
    def environment(self) -> str:
        """Where the converter is."""
        return f"{self.data}/{ENVIRONMENTS}/{python_env.identity(self.tool)}"

    @property
    def program(self) -> str:
        """What runs in it, named by its hash."""
        mark = hashlib.sha256(program()).hexdigest()[:12]
        return f"{self.data}/{MODELS}/dyno/model_convert-{mark}.pyz"

    def source(self, host: Host) -> Source | None:
        """What it is made from, as far as is known; None if that is yet to come."""
        if self.hub is None:
            found = host.fact(ModelFolder(self.origin))
            if found is None:
                return None
            words = f"{found.config_sha256} {found.bytes} {found.files}"
            return Source(self.origin, hashlib.sha256(words.encode()).hexdigest()[:12])
        commit = host.fact(self.hub.cached).commit
        if not commit and _COMMIT.fullmatch(self.hub.revision or ""):
            commit = str(self.hub.revision)
        return Source(self.hub.snapshot(commit), commit[:12]) if commit else None

    def name(self, source: Source) -> str:
        """``meta-llama--Llama-3.1-8B-0e9e39f249a1-fp8-dynamic-5f0c``: from what, and how."""
        how = json.dumps([self.scheme, self.ignore, CONVERTER])
        mark = hashlib.sha256(how.encode()).hexdigest()[:4]
        plain = _NO_NAME.sub("-", self.origin.strip("/").replace("/", "--"))[-100:]
        return f"{plain}-{source.identity}-{self.scheme}-{mark}"

    def target(self, source: Source) -> str:
        """Where it is when it is made."""
        return f"{self.made.folder}/{self.name(source)}"

    def job(self, source: Source) -> str:
        """The folder of its making."""
        return f"{self.data}/{MODELS}/dyno/convert-{self.name(source)}"

    def going(self, source: Source) -> Download:
        """How its making is going."""
        return Download(self.job(source))

    def task(self, source: Source) -> str:
        """What the program is told."""
        about = {"from": self.origin, "identity": source.identity, "scheme": self.scheme}
        told = {
            "source": source.path,
            "target": self.target(source),
            "scheme": self.scheme,
            "ignore": list(self.ignore),
            "about": about | {"ignore": list(self.ignore)},
        }
        return json.dumps(told)


def of(needs: Needs) -> Conversion | None:
    """What the recipe wants to have made; None if nothing."""
    asked = needs.model.convert
    if asked is None or not needs.weights:
        return None
    index_url = needs.needs.python.index_url if needs.needs.python else None
    return Conversion(
        asked.source,
        asked.scheme,
        tuple(asked.ignore),
        needs.data.rstrip("/"),
        models.of(needs),
        index_url,
    )


def program() -> bytes:
    """The program as one file."""
    return models.packed(model_convert, model_fetch)
