"""``python -m tools.tiny_model FOLDER``."""

from __future__ import annotations

import sys
from pathlib import Path

from tools.tiny_model.files import make

if len(sys.argv) != 2:
    raise SystemExit("usage: python -m tools.tiny_model FOLDER")
make(Path(sys.argv[1]))
