"""A hub on loopback that speaks the real protocol, as huggingface_hub asks it, and can be as bad as a network is.

Two servers on two ports, as on the real hub: one answers the API and `resolve`, the other one is the storage that large
files are redirected to, under signed addresses. Every request and every byte of a body is counted.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import socket
import struct
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.hub.writing import Kept, Writing

COMMIT = "6e763230a9d263eca2023f1d4a5ce1bfe126cf48"


@dataclass(frozen=True)
class Stored:
    """A file of a commit. Files in large storage have a sha256, the others only a git id."""

    path: Path
    blob: str
    sha256: str

    @property
    def size(self) -> int:
        return self.path.stat().st_size

    @property
    def etag(self) -> str:
        return self.sha256 or self.blob


@dataclass
class Repo:
    """A repository: its commits by id, its branches, and who may read it."""

    commits: dict[str, dict[str, Stored]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    gated: bool = False
    tokens: set[str] = field(default_factory=set)

    def commit(self, revision: str) -> str:
        return revision if revision in self.commits else self.branches.get(revision, "")


@dataclass(frozen=True)
class Asked:
    """One request, and how many bytes of body it was given."""

    storage: bool
    method: str
    path: str
    range: str
    authorized: bool
    status: int
    sent: int


@dataclass
class Faults:
    """What goes wrong: every n-th request for bytes is throttled, reset in mid-body, shortened, or shifted by a byte; a
    signed address is good for so many requests. 0: never. `page` is what a proxy answers, with
    status 200, to everything."""

    throttle: int = 0
    reset: int = 0
    shorten: int = 0
    shift: int = 0
    expire: int = 0
    ignore_ranges: bool = False
    down: bool = False
    page: bytes | None = None
    asked: int = 0
    happened: Counter[str] = field(default_factory=Counter)

    def due(self, name: str, number: int) -> bool:
        every = getattr(self, name)
        happens = bool(every) and number % every == every - 1
        self.happened[name] += happens
        return happens


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, *_: object) -> None:
        """A client that leaves is no news."""


class Hub:
    """The servers and what they hold. A context manager."""

    def __init__(self) -> None:
        self.repos: dict[str, Repo] = {}
        self.faults = Faults()
        self.asked: list[Asked] = []
        self.lock = threading.Lock()
        self.uses: dict[str, int] = {}
        self.kept = Kept()
        self.servers = [_Server(("127.0.0.1", 0), _handler(self, storage)) for storage in (False, True)]
        self.threads = [threading.Thread(target=server.serve_forever, args=(0.02,)) for server in self.servers]

    def __enter__(self) -> Hub:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for server in self.servers:
            server.shutdown()
            server.server_close()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.servers[0].server_port}"

    @property
    def storage(self) -> str:
        return f"http://127.0.0.1:{self.servers[1].server_port}"

    def add(
        self, name: str, folder: Path, commit: str = COMMIT, digests: Mapping[str, str] | None = None, **kind: Any
    ) -> Repo:
        """A repository that holds `folder` at `commit`, which its main branch is. `digests` gives sha256 that are not
        computed: of files that are holes."""
        repo = self.repos.setdefault(name, Repo(**kind))
        repo.commits[commit] = {
            path.relative_to(folder).as_posix(): _stored(path, digests or {})
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }
        repo.branches["main"] = commit
        return repo

    def bytes_of(self, ending: str) -> int:
        """Bytes of bodies sent for files whose name ends so."""
        return sum(each.sent for each in self.asked if urlsplit(each.path).path.endswith(ending))

    def forget(self) -> None:
        self.asked.clear()
        self.faults = Faults()


def _stored(path: Path, digests: Mapping[str, str]) -> Stored:
    if path.suffix == ".safetensors":
        sha256 = digests.get(path.name) or hashlib.sha256(path.read_bytes()).hexdigest()
        return Stored(path, hashlib.sha1(sha256.encode()).hexdigest(), sha256)
    data = path.read_bytes()
    return Stored(path, hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest(), "")


def _handler(hub: Hub, storage: bool) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, *_: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self.answer()

        def do_GET(self) -> None:
            self.answer()

        def do_POST(self) -> None:
            self.answer()

        def do_PUT(self) -> None:
            self.answer()

        def answer(self) -> None:
            self.status, self.sent = 0, 0
            with contextlib.suppress(ConnectionError):
                _Answer(hub, self, storage).give()
            authorized = "Authorization" in self.headers
            asked = Asked(
                storage, self.command, self.path, self.headers.get("Range", ""), authorized, self.status, self.sent
            )
            with hub.lock:
                hub.asked.append(asked)

    return Handler


class _Answer:
    """One request and its answer."""

    def __init__(self, hub: Hub, request: Any, storage: bool) -> None:
        self.hub, self.request, self.storage = hub, request, storage
        self.address = urlsplit(request.path)
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        self.token = token

    def give(self) -> None:
        path = unquote(self.address.path)
        if self.request.command in ("POST", "PUT"):
            Writing(self.hub, self).give(path)
        elif self.hub.faults.down:
            self.head(503, {}, b"overloaded")
        elif self.hub.faults.page is not None:
            self.head(200, {"Content-Type": "text/html"}, self.hub.faults.page)
        elif self.storage:
            self.stored()
        elif path.startswith("/api/models/"):
            self.api(path.removeprefix("/api/models/").split("/"))
        elif "/resolve/" in path:
            name, _, rest = path.lstrip("/").partition("/resolve/")
            revision, _, file = rest.partition("/")
            self.resolve(name, revision, file)
        else:
            self.refuse(404, "", "Not Found")

    def api(self, parts: list[str]) -> None:
        name, rest = "/".join(parts[:2]), parts[2:]
        repo = self.repo(name)
        if repo is None:
            return
        revision = "/".join(rest[1:]) if rest and rest[0] in ("revision", "tree") else "main"
        commit = repo.commit(revision)
        if not commit:
            self.refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
            return
        files = repo.commits[commit].items()
        if rest and rest[0] == "tree":
            body: Any = [
                {"type": "file", "path": file, "size": each.size, "oid": each.blob, **_lfs(each, "oid")}
                for file, each in files
            ]
        else:
            blobs = "blobs" in parse_qs(self.address.query)
            siblings = [
                {"rfilename": file}
                | ({"size": each.size, "blobId": each.blob, **_lfs(each, "sha256")} if blobs else {})
                for file, each in files
            ]
            body = {"id": name, "modelId": name, "sha": commit, "private": False, "gated": repo.gated and "auto"}
            body |= {"siblings": siblings, "tags": [], "downloads": 0, "likes": 0}
        self.head(200, {"Content-Type": "application/json"}, json.dumps(body).encode())

    def repo(self, name: str) -> Repo | None:
        """The repository; the real hub tells strangers nothing of private ones."""
        repo = self.hub.repos.get(name)
        if self.token == "expired":
            self.refuse(401, "", "Invalid credentials in Authorization header")
        elif repo is None:
            self.refuse(404 if self.token else 401, "RepoNotFound", "Repository not found")
        else:
            return repo
        return None

    def resolve(self, name: str, revision: str, file: str) -> None:
        repo = self.repo(name)
        if repo is None:
            return
        if repo.gated and self.token not in repo.tokens:
            self.refuse(403 if self.token else 401, "GatedRepo", f"Access to model {name} is restricted.")
            return
        commit = repo.commit(revision)
        stored = repo.commits[commit].get(file) if commit else None
        if not commit:
            self.refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        elif stored is None:
            self.refuse(404, "EntryNotFound", "Entry not found")
        elif not stored.sha256:
            self.bytes(stored, {"X-Repo-Commit": commit, "ETag": f'"{stored.etag}"'})
        else:
            with self.hub.lock:
                signature = str(len(self.hub.uses))
                self.hub.uses[signature] = 0
            place = f"{self.hub.storage}/{name}/{commit}/{file}?X-Amz-Signature={signature}"
            head = {"X-Repo-Commit": commit, "X-Linked-Size": str(stored.size), "X-Linked-ETag": f'"{stored.etag}"'}
            self.head(302, head | {"Location": place, "ETag": '"redirect"'}, b"Found. Redirecting")

    def stored(self) -> None:
        """A file of the storage, under a signed address."""
        signature = parse_qs(self.address.query).get("X-Amz-Signature", [""])[0]
        with self.hub.lock:
            if signature not in self.hub.uses:
                used = -1
            else:
                used = self.hub.uses[signature] = self.hub.uses[signature] + 1
        if used < 0 or (self.hub.faults.expire and used > self.hub.faults.expire):
            self.hub.faults.happened["expire"] += 1
            self.head(403, {"Content-Type": "application/xml"}, b"<Code>AccessDenied</Code>")
            return
        org, name, commit, file = unquote(self.address.path).lstrip("/").split("/", 3)
        self.bytes(self.hub.repos[f"{org}/{name}"].commits[commit][file], {"ETag": '"of the storage"'})

    def bytes(self, stored: Stored, head: dict[str, str]) -> None:
        faults = self.hub.faults if self.request.command == "GET" else Faults()
        with self.hub.lock:
            number, faults.asked = faults.asked, faults.asked + 1
        if faults.due("throttle", number):
            self.head(429, {"Retry-After": "0"}, b"slow down")
            return
        start, end, status = 0, stored.size, 200
        asked = self.request.headers.get("Range", "")
        if asked and not faults.ignore_ranges:
            first, _, last = asked.removeprefix("bytes=").partition("-")
            start, end, status = int(first), min(int(last) + 1, stored.size) if last else stored.size, 206
            if start >= stored.size:
                self.head(416, {"Content-Range": f"bytes */{stored.size}"}, b"")
                return
            head |= {"Content-Range": f"bytes {start}-{end - 1}/{stored.size}"}
        if status == 206 and end - start > 1 and faults.due("shift", number):
            start += 1
            head |= {"Content-Range": f"bytes {start}-{end - 1}/{stored.size}"}
        length = end - start - (1 if faults.due("shorten", number) else 0)
        cut = -(-length // 2) if faults.due("reset", number) else length
        self.head(status, head | {"Accept-Ranges": "bytes", "Content-Length": str(length)}, None)
        if self.request.command == "HEAD":
            return
        with stored.path.open("rb") as stream:
            stream.seek(start)
            left = cut
            while left:
                piece = stream.read(min(left, 1 << 18))
                self.request.wfile.write(piece)
                self.request.sent += len(piece)
                left -= len(piece)
        if cut < length:
            self.request.wfile.flush()
            linger = struct.pack("ii", 1, 0)
            self.request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.request.close_connection = True
            raise ConnectionResetError

    def refuse(self, status: int, code: str, message: str) -> None:
        head = {"X-Error-Message": message} | ({"X-Error-Code": code} if code else {})
        self.head(status, head, json.dumps({"error": message}).encode())

    def head(self, status: int, head: dict[str, str], body: bytes | None) -> None:
        self.request.status = status
        self.request.send_response(status)
        for key, value in head.items():
            self.request.send_header(key, value)
        if body is not None:
            self.request.send_header("Content-Length", str(len(body)))
        self.request.end_headers()
        if body and self.request.command != "HEAD":
            self.request.wfile.write(body)
            self.request.sent += len(body)


def _lfs(stored: Stored, key: str) -> dict[str, Any]:
    if not stored.sha256:
        return {}
    return {"lfs": {key: stored.sha256, "size": stored.size, "pointerSize": 134}}


@contextlib.contextmanager
def running() -> Iterator[Hub]:
    with Hub() as hub:
        yield hub
