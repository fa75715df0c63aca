"""Runs on the host, in the downloader's own environment: brings one model there, detached.

    python model_fetch.pyz start | stop FOLDER

FOLDER holds ``task.json`` (`name`, `revision`, `hub`, `home`); `home` is laid out as ``HF_HOME``.
``token`` is read and removed by ``start``. Whoever holds ``lock`` is the one download. It writes
``log``, ``status.json`` (each second: `done` and `total` bytes) and at last ``result.json``. What
was brought stands in ``home/dyno/models--…/<commit>.json``: the receipt, every file by its size.

Python 3.10 on, the standard library and huggingface_hub; nothing else of ours.
"""
