"""The ground of our dynamic providers: small state, plain errors.

The state holds the import path of each provider class: moving or renaming one
breaks `pulumi destroy` for the stacks that people have now.
"""

from __future__ import annotations

import sys
import traceback

from pulumi.dynamic import ConfigureRequest, ResourceProvider

from stacks.failure import Failure

_format_exc = traceback.format_exc


class Provider(ResourceProvider):
    """A provider whose `Failure` reaches a person as its message alone."""

    serialize_as_secret_always = False  # the state holds a class name, nothing secret

    def configure(self, _req: ConfigureRequest) -> None:
        """Called by the plug-in once, before anything else."""
        traceback.format_exc = _plain  # what pulumi.dynamic sends to the engine as the error


def tell(line: str) -> None:
    """Show *line* under the running `pulumi` command."""
    print(line, file=sys.stderr, flush=True)


def _plain(limit: int | None = None, chain: bool = True) -> str:
    error = sys.exc_info()[1]
    return str(error) if isinstance(error, Failure) else _format_exc(limit, chain)
