"""A stand-in for the model hub: answers what huggingface_hub asks, and fails as it is told to.

Large files are sent by a redirect to another address (``localhost``), as the real one does.
By hand: ``python -m tests.provisioning.hub [--bind ADDRESS] [--port PORT] [--megabytes N]``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

LARGE = 1_000_000  # from here on a file is one of LFS
_BLOCK = 65536


@dataclass(frozen=True)
class File:
    """A file of a model."""

    data: bytes

    @property
    def large(self) -> bool:
        return len(self.data) >= LARGE

    @cached_property
    def name(self) -> str:
        """What its content is called: Git's own hash, or that of LFS."""
        if self.large:
            return hashlib.sha256(self.data).hexdigest()
        return hashlib.sha1(b"blob %d\0%b" % (len(self.data), self.data)).hexdigest()

    def described(self, path: str) -> dict[str, Any]:
        about = {"rfilename": path, "size": len(self.data), "blobId": self.name[:40]}
        lfs = {"sha256": self.name, "size": len(self.data), "pointerSize": 134}
        return about | ({"lfs": lfs} if self.large else {})


@dataclass
class Model:
    """A repository; `gated` and `private` ones are for the accounts in `readers` only."""

    files: dict[str, File]
    gated: bool = False
    private: bool = False
    readers: tuple[str, ...] = ()
    revisions: dict[str, str] = field(default_factory=dict)

    @cached_property
    def commit(self) -> str:
        parts = "".join(f"{path} {file.name}\n" for path, file in sorted(self.files.items()))
        return hashlib.sha1(parts.encode()).hexdigest()

    def resolve(self, revision: str) -> bool:
        return revision in {"main", self.commit, *self.revisions}


def model(large: Mapping[str, int] | None = None, **options: Any) -> Model:
    """A model with small files, and *large* ones of so many bytes."""
    numbers = random.Random(0)
    files = {
        "config.json": File(b'{"architectures": ["Qwen3ForCausalLM"]}\n'),
        "README.md": File(b"A stand-in.\n"),
        "tokenizer/vocab.txt": File(b"a\nb\n"),
    }
    files |= {path: File(numbers.randbytes(size)) for path, size in (large or {}).items()}
    return Model(files, **options)


@dataclass(frozen=True)
class Seen:
    """A request, as it came."""

    method: str
    path: str
    token: str | None
    range: str | None
    address: str


class Hub:
    """The hub: `tokens` are those that are valid; the rest is how it misbehaves.

    `rate`: bytes a second of each answer; `cuts`: how many large answers break off after
    `cut_after` bytes; `status`: what everything is answered with.
    """

    def __init__(self, models: Mapping[str, Model], bind: str = "127.0.0.1", port: int = 0) -> None:
        self.models = dict(models)
        self.tokens: tuple[str, ...] = ()
        self.rate: float | None = None
        self.cuts = 0
        self.cut_after = 0
        self.status: int | None = None
        self.seen: list[Seen] = []
        self.lock = threading.Lock()
        self.server = ThreadingHTTPServer((bind, port), _handler(self))
        self.server.daemon_threads = True
        self.bind, self.port = bind, self.server.server_address[1]

    @property
    def url(self) -> str:
        return f"http://{self.bind}:{self.port}"

    @property
    def elsewhere(self) -> str:
        """Where large files are sent from."""
        return f"http://{'localhost' if self.bind == '127.0.0.1' else self.bind}:{self.port}"

    def asked(self, part: str, method: str = "GET") -> list[Seen]:
        """Requests with *part* in their path."""
        return [seen for seen in self.seen if seen.method == method and part in seen.path]

    def cut(self) -> bool:
        """Whether this answer is to break off."""
        with self.lock:
            self.cuts -= 1
            return self.cuts >= 0


@contextmanager
def serving(models: Mapping[str, Model], **options: Any) -> Iterator[Hub]:
    """A hub that answers until the context is left."""
    hub = Hub(models, **options)
    thread = threading.Thread(target=hub.server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.server.shutdown()
        hub.server.server_close()
        thread.join()


class _Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - named by its base
        """Nothing: tests read `Hub.seen`."""

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.token = (self.headers["Authorization"] or "").removeprefix("Bearer ") or None
        host = self.headers["Host"].partition(":")[0]
        self.hub.seen.append(Seen(self.command, path, self.token, self.headers["Range"], host))
        if self.hub.status:
            self._refuse(self.hub.status, "", "The hub is not well")
        elif path.startswith("/cdn/"):
            self._content(self._by_name(path[5:]), {})
        elif self.token and self.token not in self.hub.tokens:
            self._refuse(401, "", "Invalid credentials in Authorization header")
        elif path.startswith("/api/models/"):
            self._about(path.removeprefix("/api/models/"))
        else:
            name, _, rest = path[1:].partition("/resolve/")
            revision, _, file = rest.partition("/")
            self._resolve(name, revision, file)

    def _about(self, path: str) -> None:
        name, _, revision = path.partition("/revision/")
        found = self._model(name, revision or "main")
        if found:
            blobs = "blobs=" in self.path
            siblings = [f.described(p) for p, f in sorted(found.files.items())]
            if not blobs:
                siblings = [{"rfilename": each["rfilename"]} for each in siblings]
            about = {"id": name, "modelId": name, "sha": found.commit, "private": found.private}
            gated = "manual" if found.gated else False
            text = json.dumps({**about, "gated": gated, "siblings": siblings}).encode()
            self._send(200, {"Content-Type": "application/json"}, text)

    def _resolve(self, name: str, revision: str, path: str) -> None:
        found = self._model(name, revision)
        if not found:
            return
        if found.gated and self.token not in found.readers:
            words = f"Access to model {name} is restricted"
            self._refuse(403 if self.token else 401, "GatedRepo", words)
        elif path not in found.files:
            self._refuse(404, "EntryNotFound", "Entry not found")
        else:
            self._file(found.files[path], found.commit)

    def _file(self, file: File, commit: str) -> None:
        headers = {"X-Repo-Commit": commit, "ETag": f'"{file.name}"', "Accept-Ranges": "bytes"}
        if not file.large:
            self._content(file, headers)
            return
        headers |= {
            "Location": f"{self.hub.elsewhere}/cdn/{file.name}?signature=1",
            "X-Linked-Size": str(len(file.data)),
            "X-Linked-ETag": f'"{file.name}"',
        }
        self._send(302, headers, b"")

    def _model(self, name: str, revision: str) -> Model | None:
        found = self.hub.models.get(name)
        if found is None or (found.private and self.token not in found.readers):
            if self.token:
                self._refuse(404, "RepoNotFound", "Repository not found")
            else:  # the real one tells nobody whether it exists
                self._refuse(401, "", "Invalid username or password.")
            return None
        if not found.resolve(revision):
            self._refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
            return None
        return found

    def _by_name(self, name: str) -> File:
        models = self.hub.models.values()
        return next(f for each in models for f in each.files.values() if f.name == name)

    def _content(self, file: File, headers: dict[str, str]) -> None:
        begin, size = 0, len(file.data)
        if self.headers["Range"]:
            begin = int(self.headers["Range"].removeprefix("bytes=").rstrip("-"))
            if begin >= size:
                self._send(416, {"Content-Range": f"bytes */{size}"}, b"")
                return
            headers |= {"Content-Range": f"bytes {begin}-{size - 1}/{size}"}
        self._send(206 if begin else 200, headers, file.data[begin:], large=file.large)

    def _refuse(self, status: int, code: str, words: str) -> None:
        headers = {"X-Error-Message": words, "Content-Type": "application/json"}
        if code:
            headers["X-Error-Code"] = code
        self._send(status, headers, json.dumps({"error": words}).encode())

    def _send(
        self, status: int, headers: dict[str, str], body: bytes, *, large: bool = False
    ) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            end = self.hub.cut_after if large and self.hub.cut() else None
            self._pour(body[:end])
            self.close_connection = self.close_connection or end is not None

    def _pour(self, body: bytes) -> None:
        try:
            for at in range(0, len(body), _BLOCK):
                self.wfile.write(body[at : at + _BLOCK])
                while self.hub.rate:  # once, for a rate; the loop is no pause to rely on
                    time.sleep(_BLOCK / self.hub.rate)
                    break
        except OSError:
            self.close_connection = True


def _handler(hub: Hub) -> type[_Answers]:
    return type("Answers", (_Answers,), {"hub": hub})


def main() -> None:
    """Serve ``lab/model`` until interrupted."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--bind", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--megabytes", type=int, default=64)
    given = parser.parse_args()
    made = model({"model.safetensors": given.megabytes * 1_000_000})
    hub = Hub({"lab/model": made}, given.bind, given.port)
    print(hub.url, flush=True)
    hub.server.serve_forever()


if __name__ == "__main__":
    main()
