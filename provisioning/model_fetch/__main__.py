"""``python model_fetch.pyz start | stop FOLDER``."""

from __future__ import annotations

from provisioning.model_fetch.job import fetched, main

main(fetched)
