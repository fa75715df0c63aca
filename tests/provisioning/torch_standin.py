"""A stand-in for torch, written where a Python finds it: GPUs are processes that sum nothing.

``HANGS`` in the environment lets direct access (P2P) hang, ``WRONG`` gives wrong sums, ``FAILS``
fails on each GPU but the first, ``UNJOINED`` on all, as without the fabric manager.
"""

from __future__ import annotations

from pathlib import Path

_TORCH = """
class Tensor:
    def __init__(self, value): self.value = value
    def fill_(self, value): self.value = value
    def item(self): return self.value
    def all(self): return self.value
    def __eq__(self, other): return Tensor(self.value == other)
def ones(count, device): return Tensor(1.0)
class cuda:
    @staticmethod
    def set_device(rank): pass
"""
_DISTRIBUTED = """
import os, signal
def init_process_group(kind, init_method, rank, world_size):
    global size
    size = world_size
    if "HANGS" in os.environ and os.environ.get("NCCL_P2P_DISABLE") != "1": signal.pause()
    if "UNJOINED" in os.environ: raise RuntimeError("Error 802: system not yet initialized")
    if "FAILS" in os.environ and rank: raise RuntimeError("NCCL error: unhandled system error")
def all_reduce(values): values.value *= 1.5 if "WRONG" in os.environ else size
def broadcast(values, rank): values.value = 0.0
"""


def put(folder: Path) -> str:
    """Write it into *folder*; return what ``PYTHONPATH`` has to be."""
    package = folder / "torch"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(_TORCH)
    (package / "distributed.py").write_text(_DISTRIBUTED)
    return str(folder)
