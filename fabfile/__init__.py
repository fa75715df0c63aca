"""Benchmark a stack: `fab bench --stack STACK`; every task has `fab TASK -h`."""

import importlib
import sys
from pathlib import Path

# fab finds this folder from any folder below the checkout, but not what lies beside it.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from fabfile import early

#: Each task, and the module that holds it.
_TASKS = {
    "abandon": "bench",
    "attach": "bench",
    "bench": "bench",
    "calibrate": "client",
    "collect": "bench",
    "diagnose": "diagnose",
    "logs": "look",
    "provision": "provision",
    "recipes": "recipes",
    "render": "render",
    "report": "look",
    "serve": "serve",
    "smoke": "serve",
    "ssh": "reach",
    "status": "look",
    "stop": "bench",
    "tunnel": "reach",
}

early.begin(sys.argv)
# What one task needs loads much faster than what all need, and `fab` needs the tasks it runs.
_wanted = early.named(sys.argv, _TASKS)
__all__ = list(_wanted)
for _name in _wanted:
    globals()[_name] = getattr(importlib.import_module(f"fabfile.{_TASKS[_name]}"), _name)
