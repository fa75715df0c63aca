"""``python model_convert.pyz start | stop FOLDER``."""

from __future__ import annotations

from provisioning.model_convert.compress import converted
from provisioning.model_fetch.job import main

main(converted)
