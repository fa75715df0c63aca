"""Runs on the host, sent as standard input of a Python with torch: all GPUs reduce together.

Arguments: how many GPUs, for how many seconds. Prints ``ok`` and the bytes a second that went
through each GPU, in GB/s. Ends with 3 when there is no torch, with 1 when a GPU failed.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from typing import Any

NO_TORCH = 3
_ELEMENTS = 16 * 2**20  # 64 MiB, as gradients come
_ROUND = 20


def main(argv: list[str]) -> int:
    """One process a GPU, forked before any of them touches its own; all must end well."""
    count, seconds = int(argv[0]), float(argv[1])
    try:
        import torch  # type: ignore[import-not-found] # noqa: PLC0415 - the host's, in the image
        import torch.distributed  # type: ignore[import-not-found] # noqa: PLC0415 - the same
    except ImportError as error:
        print(error, file=sys.stderr)
        return NO_TORCH
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    children = [_child(torch, rank, count, port, seconds) for rank in range(count)]
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    return int(any(codes))


def _child(torch: Any, rank: int, count: int, port: int, seconds: float) -> int:
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        _reduce(torch, rank, count, port, seconds)
        code = 0
    except Exception as error:  # noqa: BLE001 - whatever it is, the parent is told
        print(f"GPU {rank}: {error}", file=sys.stderr, flush=True)
    finally:
        os._exit(code)


def _reduce(torch: Any, rank: int, count: int, port: int, seconds: float) -> None:
    torch.cuda.set_device(rank)
    torch.distributed.init_process_group(
        "nccl", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=count
    )
    values = torch.ones(_ELEMENTS, device="cuda")
    going = torch.ones(1, device="cuda")
    rounds, began = 0, time.monotonic()
    while going.item():
        for _ in range(_ROUND):
            values.fill_(1.0)
            torch.distributed.all_reduce(values)
        rounds += 1
        # The first one's clock is everybody's: all make the same number of rounds.
        going.fill_(float(time.monotonic() - began < seconds))
        torch.distributed.broadcast(going, 0)
    taken = time.monotonic() - began
    if not bool((values == float(count)).all()):
        raise ArithmeticError("the sum is wrong")
    if rank == 0:
        print(f"ok {rounds * _ROUND * _ELEMENTS * 4 / taken / 1e9:.2f}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
