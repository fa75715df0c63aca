"""`fab`, with a simulator that wants a model's weights on its host, as real engines do."""

from __future__ import annotations

import sys

from fabric.main import program

from provisioning import smoke
from provisioning.engines import simulator

if __name__ == "__main__":
    simulator.READS_WEIGHTS = True
    asked = smoke.smoke
    # It uses no GPU all the same.
    smoke.smoke = lambda host, target, **_: asked(host, target, gpu=False)  # type: ignore[assignment] # of its own
    sys.argv[0] = "fab"  # the tasks look at it
    sys.exit(program.run())
