"""Runs on the host, in the converter's own environment: makes one model out of another, detached.

    python model_convert.pyz start | stop FOLDER

FOLDER holds ``task.json`` (`source`, a folder; `target`, where the made model is to be; `scheme`,
`ignore`, and `about`, what its receipt says besides). Lock, log and result are those of
`provisioning.model_fetch`. The target is whole, or not there: it is made as ``target.new``.

Python 3.10 on, the standard library, llm-compressor, and our `model_fetch`.
"""
