"""Which model is served, and where on the host it is: from the recipe alone."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import zipfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType

from provisioning import model_fetch
from provisioning.command import Secret
from provisioning.facts.download import Download
from provisioning.facts.model_cache import ModelCache
from provisioning.needs import Needs
from provisioning.recipe_schema import Model
from provisioning.versions import HUB_TOOL
from provisioning.volume import MODELS

PUBLIC_HUB = "https://huggingface.co"
_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_DATE = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class HubModel:
    """A model of a hub, wanted in the cache `home` (laid out as ``HF_HOME``).

    `index_url` is where the downloader comes from: a package index.
    """

    name: str
    revision: str | None
    hub: str
    home: str
    index_url: str | None = None

    @property
    def folder(self) -> str:
        """The folder of its download: one for each name, revision and hub."""
        words = "\0".join((self.name, self.revision or "", self.hub))
        mark = hashlib.sha256(words.encode()).hexdigest()[:8]
        return f"{self.home}/dyno/{self.name.replace('/', '--')}-{mark}"

    @property
    def program(self) -> str:
        """The downloader on the host, named by its hash."""
        mark = hashlib.sha256(program()).hexdigest()[:12]
        return f"{self.home}/dyno/model_fetch-{mark}.pyz"

    @property
    def tool(self) -> str:
        """The virtual environment that it runs in, named by what is in it."""
        mark = hashlib.sha256("\n".join(HUB_TOOL).encode()).hexdigest()[:12]
        return f"{self.home}/dyno/tool-{mark}"

    @property
    def task(self) -> str:
        """What the download is told."""
        return json.dumps({key: getattr(self, key) for key in ("name", "revision", "hub", "home")})

    @property
    def cached(self) -> ModelCache:
        """Whether it is there already."""
        return ModelCache(self.home, self.name, self.revision or "main")

    @property
    def download(self) -> Download:
        """How its download is going."""
        return Download(self.folder)

    def snapshot(self, commit: str) -> str:
        """Where its files are to be found."""
        return f"{self.home}/hub/models--{self.name.replace('/', '--')}/snapshots/{commit}"


def of(needs: Needs) -> HubModel | None:
    """The model to bring from a hub.

    None for one in a folder, with a name that no hub has, or whose weights nobody reads.
    """
    model = source(needs.model)
    if not needs.weights or model.path is not None or not _REPOSITORY.fullmatch(model.name):
        return None
    hub = model.hub or os.environ.get("HF_ENDPOINT", "").rstrip("/") or PUBLIC_HUB
    index_url = needs.needs.python.index_url if needs.needs.python else None
    home = f"{needs.data.rstrip('/')}/{MODELS}"
    return HubModel(model.name, model.revision, hub, home, index_url)


def source(model: Model) -> Model:
    """What has to be on the host: the model, or what it is made from."""
    if model.convert is None:
        return model
    origin = model.convert.source
    change = {"path": origin} if origin.startswith("/") else {"name": origin}
    return model.model_copy(update=change)


def token() -> Secret | None:
    """The hub's token, from the environment."""
    value = os.environ.get("HF_TOKEN", "").strip()
    return Secret(value) if value else None


def program() -> bytes:
    """The downloader as one file, the same wherever it is packed."""
    return packed(model_fetch)


@cache
def packed(package: ModuleType, *others: ModuleType) -> bytes:
    """A program for hosts: *package*, and *others* that it needs."""
    folders = [Path(str(each.__file__)).parent for each in (package, *others)]
    sources = {
        f"provisioning/{folder.name}/{path.name}": path
        for folder in folders
        for path in sorted(folder.glob("*.py"))
    }
    sources = {"__main__.py": folders[0] / "__main__.py"} | sources
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(zipfile.ZipInfo("provisioning/__init__.py", _DATE), "")
        for name, path in sources.items():
            archive.writestr(zipfile.ZipInfo(name, _DATE), path.read_bytes())
    return buffer.getvalue()
