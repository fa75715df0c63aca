"""A server for launcher tests: ``fake_server.py PORT [MODE]``; its own program, not a module.

Modes: ``serve``; ``exit`` (says why, ends with 3); ``busy`` (answers 503); ``silent`` (listens
nowhere); ``stubborn`` (serves, ignores SIGTERM); ``family`` (serves, with a child that ignores
SIGTERM); ``orphans`` (leaves a child behind and ends).
``/health`` is open; ``/v1/models`` asks for $VLLM_API_KEY; ``/env/NAME`` tells a variable.
"""

from __future__ import annotations

import http.server
import os
import signal
import subprocess
import sys

SLEEPER = """import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("asleep", flush=True)
time.sleep(60)
"""


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers three paths."""

    def do_GET(self) -> None:
        """One request."""
        bearer = f"Bearer {os.environ.get('VLLM_API_KEY')}"
        code, text = 200, "ok"
        if self.path.startswith("/env/"):
            text = os.environ.get(self.path[5:], "")
        elif self.path == "/v1/models" and self.headers["Authorization"] != bearer:
            code = 401
        elif MODE == "busy":
            code = 503
        self.send_response(code)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())


def child() -> None:
    """A child that has to be killed; returns when it cannot be ended otherwise any more."""
    process = subprocess.Popen([sys.executable, "-c", SLEEPER], stdout=subprocess.PIPE)
    if process.stdout:
        process.stdout.readline()


MODE = sys.argv[2] if len(sys.argv) > 2 else "serve"
if MODE == "exit":
    print("CUDA out of memory, says the fake", file=sys.stderr)
    sys.exit(3)
if MODE == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if MODE in ("family", "orphans"):
    child()
if MODE == "orphans":
    os._exit(0)
if MODE == "silent":
    print("Starting to load model nothing", flush=True)
    signal.pause()
server = http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
print("Application startup complete.", flush=True)
server.serve_forever()
