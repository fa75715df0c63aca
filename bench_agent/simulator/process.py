"""The simulator in a process of its own."""

from __future__ import annotations

import gc
import os
import signal
import socket
from collections.abc import Callable

from bench_agent.simulator.options import Options
from bench_agent.simulator.server import Simulator


def start_simulator(options: Options, listener: socket.socket) -> Callable[[], None]:
    """Serve in a child process; the function ends it. It goes with this process, too."""
    stop_fd, life = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(life)
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_IGN)  # told over the pipe
            gc.freeze()  # what the parent had need not be walked between tokens
            Simulator(options, listener, None, stop_fd).serve()
            code = 0
        finally:
            os._exit(code)
    os.close(stop_fd)
    listener.close()

    def stop() -> None:
        os.close(life)
        os.waitpid(pid, 0)

    return stop
