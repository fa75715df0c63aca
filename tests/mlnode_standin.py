"""An MLNode without GPUs: its REST API as the public source has it, the simulator for its vLLM.

From a shell: ``python -m tests.mlnode_standin --management 8080 --inference 5000``.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[1]
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass
class Faults:
    """What goes wrong: nothing, by default.

    `state`: what it does when it is first asked (POW …). `refusal`: vLLM's start fails with that.
    `dies`: vLLM ends while it loads. `begins_s`: before there is a process of it.
    `load_s`: how long loading takes. `says`: the body of any
    answer instead of its own; `status` its code. `other_model`: what is served instead.
    `answer_lost`: a proxy gives up on the long answer, with 504.
    """

    state: str = "STOPPED"
    refusal: str = ""
    dies: bool = False
    begins_s: float = 0.0
    load_s: float = 0.0
    says: str | None = None
    status: int = 200
    other_model: str = ""
    answer_lost: bool = False


@dataclass
class Standin:
    """One node. `asked` are the bodies of ``inference/up``, `calls` all requests in order,
    `served` the completions of engines that have ended.
    """  # noqa: D205 - one thought

    management: int
    inference: int
    faults: Faults = field(default_factory=Faults)
    api_key: str | None = None
    asked: list[dict[str, Any]] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    served: int = 0
    engine: subprocess.Popen[bytes] | None = None
    _starting: threading.Lock = field(default_factory=threading.Lock)

    @property
    def management_url(self) -> str:
        """Its API."""
        return f"http://127.0.0.1:{self.management}"

    @property
    def inference_url(self) -> str:
        """Where it serves."""
        return f"http://127.0.0.1:{self.inference}"

    @property
    def state(self) -> str:
        """INFERENCE as soon as there is a process, as in life."""
        if self.faults.state != "STOPPED":
            return self.faults.state
        alive = self.engine is not None and self.engine.poll() is None
        return "INFERENCE" if alive else "STOPPED"

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, str]:
        """Status and body of a reply."""
        self.calls.append(f"{method} {path}")
        if self.faults.says is not None:
            return self.faults.status, self.faults.says
        if (method, path) == ("GET", "/api/v1/state"):
            return 200, json.dumps({"state": self.state})
        if path in ("/api/v1/inference/up", "/api/v1/inference/down") and method == "POST":
            if self.state not in ("INFERENCE", "STOPPED"):
                what = f"Cannot run INFERENCE because MLNode is currently in {self.state} mode."
                return 409, json.dumps({"detail": f"{what} Please stop {self.state} first."})
            return self._up(body) if path.endswith("up") else self._down()
        return 404, json.dumps({"detail": "Not Found"})

    def _up(self, body: bytes) -> tuple[int, str]:
        try:
            asked = json.loads(body)
            wrong = [key for key in ("model", "dtype") if not isinstance(asked.get(key), str)]
            words = asked.get("additional_args", [])
        except (ValueError, AttributeError):
            asked, wrong, words = {}, ["model"], []
        rows = [{"loc": ["body", key], "msg": "Field required"} for key in wrong]
        rows += [
            {"loc": ["body", "additional_args", n], "msg": "Input should be a valid string"}
            for n, word in enumerate(words)
            if not isinstance(word, str)
        ]
        if rows:
            return 422, json.dumps({"detail": rows})
        self.asked.append(asked)
        with self._starting:
            return self._started(asked["model"])

    def _started(self, model: str) -> tuple[int, str]:
        self.end()
        threading.Event().wait(self.faults.begins_s)  # as long as the node says nothing
        if self.faults.refusal:
            return 200, json.dumps({"status": "ERROR", "message": self.faults.refusal})
        loading = ("-c", f"import time; time.sleep({0.3 if self.faults.dies else 3600})")
        if self.faults.load_s or self.faults.dies:
            self.engine = subprocess.Popen([sys.executable, *loading])
            with suppress(subprocess.TimeoutExpired):
                self.engine.wait(self.faults.load_s or 10)
                text = "vLLM process exited prematurely: None"
                return 200, json.dumps({"status": "ERROR", "message": text})
        loader, self.engine = self.engine, self._simulator(self.faults.other_model or model)
        if loader:
            loader.kill()
            loader.wait()
        if not self._serves():
            return 200, json.dumps({"status": "ERROR", "message": "vLLM failed to start"})
        return (504, "gateway time-out") if self.faults.answer_lost else (200, '{"status": "OK"}')

    def _simulator(self, model: str) -> subprocess.Popen[bytes]:
        code = "import sys; from bench_agent.cli import main; sys.exit(main())"
        argv = [sys.executable, "-c", code, "simulate", "--port", str(self.inference)]
        env = {"PATH": os.environ["PATH"]} | (
            {"VLLM_API_KEY": self.api_key} if self.api_key else {}
        )
        return subprocess.Popen(
            [*argv, "--model", model, "--ttft-ms", "20", "--itl-ms", "5"],
            cwd=CHECKOUT,
            env=env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def _serves(self) -> bool:
        end = time.monotonic() + 20
        while time.monotonic() < end and self.engine and self.engine.poll() is None:
            with suppress(OSError), _OPENER.open(f"{self.inference_url}/health") as reply:
                return bool(reply.status == 200)
            time.sleep(0.05)
        return False

    def _down(self) -> tuple[int, str]:
        with self._starting:  # while vLLM starts, the node hears nothing else
            self.end()
        return 200, '{"status": "OK"}'

    def end(self) -> None:
        """End its vLLM."""
        if self.engine is not None:
            self.served += self._completions()
            self.engine.terminate()
            self.engine.wait(20)
        self.engine = None

    def _completions(self) -> int:
        with suppress(OSError), _OPENER.open(f"{self.inference_url}/metrics") as reply:
            found = re.findall(
                r"^vllm:request_success_total.* ([\d.e+]+)$", reply.read().decode(), re.MULTILINE
            )
            return int(sum(map(float, found)))
        return 0


@contextmanager
def running(
    faults: Faults | None = None, *, management: int = 0, inference: int = 0, key: str | None = None
) -> Iterator[Standin]:
    """A node on loopback; ports of 0 are any."""
    node = Standin(management, inference or _free_port(), faults or Faults(), key)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._reply("GET")

        def do_POST(self) -> None:
            self._reply("POST")

        def _reply(self, method: str) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, text = node.answer(method, self.path, body)
            with suppress(OSError):  # who asked may have gone
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text.encode())))
                self.end_headers()
                self.wfile.write(text.encode())

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", management), Handler)
    server.daemon_threads = True
    node.management = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield node
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        node.end()


def _free_port() -> int:
    """Below those that the kernel gives to connections, which come and go meanwhile."""
    while True:
        port = random.randrange(15_000, 20_000)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def main() -> None:
    """Serve until it is interrupted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--management", type=int, default=8080)
    parser.add_argument("--inference", type=int, default=5000)
    parser.add_argument("--load-s", type=float, default=3.0)
    args = parser.parse_args()
    faults = Faults(load_s=args.load_s)
    with running(faults, management=args.management, inference=args.inference) as node:
        print(f"{node.management_url} manages, {node.inference_url} serves.", flush=True)
        with suppress(KeyboardInterrupt):
            threading.Event().wait()


if __name__ == "__main__":
    main()
