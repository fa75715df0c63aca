"""Benchmark a stack: `fab bench --stack STACK`; every task has `fab TASK -h`."""

import sys
from pathlib import Path

# fab finds this folder from any folder below the checkout, but not what lies beside it.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from fabfile.bench import abandon, attach, bench, collect, stop
from fabfile.client import calibrate
from fabfile.look import logs, report, status
from fabfile.reach import ssh, tunnel

__all__ = [
    "abandon",
    "attach",
    "bench",
    "calibrate",
    "collect",
    "logs",
    "report",
    "ssh",
    "status",
    "stop",
    "tunnel",
]
