"""How every task is declared: named arguments only, plain errors, honest exit codes."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from invoke.tasks import Task

from fabfile.console import complain
from provisioning import stack as stacks
from provisioning.errors import DynoError, PageError, UsageError
from reporting.errors import ReportError

INTERRUPTED = 130

#: What arguments mean, wherever a task has them.
HELP = {
    "stack": "The Pulumi stack.",
    "run": "The run; by default the newest.",
    "recipe": "A recipe of recipes/; by default the stack's own.",
    "set": "Override a key of the recipe: --set load.points.0.num_prompts=8; may be repeated.",
    "json": "Print JSON instead of text.",
    "url": "A server that runs already, as http://HOST:PORT; it is loaded from this machine.",
}


def task(**options: Any) -> Callable[[Callable[..., None]], Task[Callable[..., None]]]:
    """Declare a task; *options* are invoke's, `help` is added to `HELP`."""
    about = HELP | options.pop("help", {})

    def declare(body: Callable[..., None]) -> Task[Callable[..., None]]:
        @functools.wraps(body)
        def guarded(*args: Any, **kwargs: Any) -> None:
            try:
                with _reporting():
                    body(*args, **kwargs)
                sys.stdout.flush()
            except BrokenPipeError:  # `fab status | head`: nobody reads on
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            except DynoError as error:
                complain(error, as_json=bool(kwargs.get("json")))
                sys.exit(error.exit_code)
            except KeyboardInterrupt:
                print("\nInterrupted.", file=sys.stderr)
                sys.exit(INTERRUPTED)

        code = body.__code__
        declared = code.co_varnames[: code.co_argcount]
        names = [name.strip("_").replace("_", "-") for name in declared]
        told = {name: about[name] for name in names if name in about}
        # positional=[]: otherwise `fab bench -h` would take -h for the stack's name; and a short
        # flag is made of the first letter that is free, which for --rehearse was -h.
        made: Task[Callable[..., None]] = Task(
            guarded, positional=[], help=told, auto_shortflags=False, **options
        )
        return made

    return declare


@contextmanager
def _reporting() -> Iterator[None]:
    try:
        yield
    except ReportError as error:
        raise PageError(error.what, error.advice) from None


def require_stack(stack: str | None) -> str:
    """The stack's name.

    Raises:
        UsageError: none was given; lists what there is.
    """
    if stack:
        return stack
    raise UsageError(
        "No stack was named.", f"Say --stack with one of: {', '.join(stacks.known())}."
    )
