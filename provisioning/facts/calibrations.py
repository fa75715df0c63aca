"""Which calibrations of the load client the host knows."""

from __future__ import annotations

import json
from contextlib import suppress

from provisioning.command import Command, Fact

_ASK = 'cat "$DYNO_WORKDIR"/calibration/*.json 2>/dev/null || :'


class Calibrations(Fact[frozenset[tuple[str, str, int]]]):
    """For each: the agent's sha256, the kernel, and the streams that it is for."""

    command = Command.shell(_ASK, shown="list calibrations")

    def parse(self, stdout: str) -> frozenset[tuple[str, str, int]]:
        """Read JSON objects one behind the other, up to one that is damaged."""
        decoder, at, found = json.JSONDecoder(), 0, set()
        with suppress(ValueError, KeyError, TypeError):
            while (at := at + len(stdout[at:]) - len(stdout[at:].lstrip())) < len(stdout):
                one, at = decoder.raw_decode(stdout, at)
                key = one["key"]
                found.add((str(key["agent_sha256"]), str(key["kernel"]), int(key["streams"])))
        return frozenset(found)
