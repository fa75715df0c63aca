"""Pins: the versions and numbers that hosts are held to. A change here can move a number."""

from __future__ import annotations

MIN_PYTHON = (3, 10)  # what the agent needs on a host
NEWEST_PYTHON = (3, 15)  # the last python3.x that is looked for on PATH

#: Engine ports are picked from here: below Linux's ephemeral range (32768 on), so that no
#: outgoing connection of the load takes the port while the engine is still loading.
ENGINE_PORTS = range(20000, 32000)
