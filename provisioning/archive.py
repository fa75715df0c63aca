"""The agent's archive: small, and byte-identical wherever it is built.

Sources lose what is for people alone (see `stripping`) and lie in one member, which packs them
a third smaller than a member each. Sorted names, a fixed date, no compression level that
depends on the machine.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

from provisioning import agent_main, stripping

_DATE = (1980, 1, 1, 0, 0, 0)
_FILE = 0o100644 << 16


def pack(files: Mapping[str, bytes]) -> bytes:
    """A reproducible zip of the Python sources *files*, with a ``__main__.py`` that runs them."""
    main = stripping.strip(Path(agent_main.__file__).read_text(encoding="utf-8"))
    sources = {name: stripping.strip(data.decode()) for name, data in files.items()}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        _add(archive, "__main__.py", main.encode())
        _add(archive, agent_main.MEMBER, agent_main.joined(sources))
    return buffer.getvalue()


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    entry = zipfile.ZipInfo(name, _DATE)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.create_system = 3
    entry.external_attr = _FILE
    archive.writestr(entry, data, compresslevel=9)
