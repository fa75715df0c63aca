"""Our own pip as one file, which any Python on a host can run: Debian's comes without one."""

from __future__ import annotations

import io
import zipfile
from functools import cache
from importlib.util import find_spec
from pathlib import Path

_DATE = (1980, 1, 1, 0, 0, 0)  # the same bytes wherever it is packed


@cache
def archive() -> bytes:
    """A zip file with the package ``pip`` in it: run it as ``python FILE/pip``."""
    spec = find_spec("pip")
    package = Path(str(spec.origin if spec else "")).parent
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as packed:
        for path in sorted(package.rglob("*")):
            if path.is_file() and path.suffix not in {".pyc", ".exe"}:
                entry = zipfile.ZipInfo(f"pip/{path.relative_to(package).as_posix()}", _DATE)
                packed.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED)
    return buffer.getvalue()
