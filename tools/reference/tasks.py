"""The pages of fab's tasks, from the tasks themselves."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

from invoke.collection import Collection


def tasks() -> dict[str, Any]:
    """Every task of fabfile by its name."""
    import fabfile  # noqa: PLC0415 - only when a page is made

    collection = Collection.from_module(fabfile)
    return {name: collection[name] for name in sorted(collection.task_names)}


def page() -> str:
    """Each task with its arguments, as Markdown."""
    return "\n\n".join("\n".join(_section(name, task)) for name, task in tasks().items())


def _section(name: str, task: Any) -> Iterator[str]:
    yield f"### fab {name}"
    yield ""
    yield inspect.getdoc(task.body) or ""
    yield ""
    yield "| argument | |"
    yield "|---|---|"
    for argument in task.get_arguments():
        yield f"| `{_flag(argument)}` | {argument.help or ''} |"


def _flag(argument: Any) -> str:
    flag = f"--{argument.name.strip('_').replace('_', '-')}"
    if argument.kind is bool:
        return flag
    return f"{flag} …" if argument.kind is list else f"{flag} {argument.name.strip('_').upper()}"
