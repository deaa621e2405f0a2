"""The writing half of the loopback hub: repositories made, large files stored by sha256, commits that name them.

As on the real hub, a commit may only name large files that the storage holds, and an object that is held is not asked
for again.
"""

from __future__ import annotations

import base64
import hashlib
import json
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

LARGE = (".safetensors", ".gguf")


@dataclass
class Kept:
    """The storage's objects by sha256, how often each was sent whole, and what goes wrong: `refuse` maps a part of a
    path to (status, content type, body); `tamper` names a file that a commit stores with other bytes."""

    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="hub-")))
    sent: Counter[str] = field(default_factory=Counter)
    commits: int = 0
    refuse: dict[str, tuple[int, str, bytes]] = field(default_factory=dict)
    tamper: str = ""

    def path(self, digest: str) -> Path:
        return self.folder / digest


class Writing:
    """One request that writes."""

    def __init__(self, hub: Any, answer: Any) -> None:
        self.hub, self.answer, self.kept = hub, answer, hub.kept
        request = answer.request
        if request.headers.get("Transfer-Encoding") == "chunked":
            self.body = b"".join(_chunks(request.rfile))
        else:
            self.body = _whole(request.rfile, int(request.headers.get("Content-Length", 0)))

    def give(self, path: str) -> Any:
        for ending, (status, kind, body) in self.kept.refuse.items():
            if ending in path:
                return self.answer.head(status, {"Content-Type": kind}, body)
        if path.startswith("/put/"):
            return self.put(path.removeprefix("/put/"))
        if path == "/api/validate-yaml":
            return self.json({"errors": [], "warnings": []})
        if not self.answer.token:
            return self.answer.refuse(401, "", "Invalid username or password.")
        if path == "/api/repos/create":
            return self.create()
        if path.endswith(".git/info/lfs/objects/batch"):
            return self.batch()
        name, kind, revision = _parts(path)
        repo = self.hub.repos.get(name)
        if repo is None:
            return self.answer.refuse(404, "RepoNotFound", "Repository not found")
        if kind == "branch":
            if revision in repo.branches:
                return self.answer.refuse(409, "", "Reference already exists")
            repo.branches[revision] = repo.branches["main"]
            return self.json({})
        if kind == "preupload":
            return self.preupload()
        return self.commit(repo, revision)

    def create(self) -> None:
        from tests.hub.server import Repo

        asked = json.loads(self.body)
        name = f"{asked.get('organization') or 'me'}/{asked['name']}"
        if name in self.hub.repos:
            return self.json({"error": "You already created it", "url": f"{self.hub.endpoint}/{name}", "id": name}, 409)
        first = "0" * 40
        self.hub.repos[name] = Repo(commits={first: {}}, branches={"main": first})
        return self.json({"url": f"{self.hub.endpoint}/{name}", "id": name})

    def preupload(self) -> None:
        files = [
            {
                "path": each["path"],
                "uploadMode": "lfs" if each["path"].endswith(LARGE) else "regular",
                "shouldIgnore": False,
            }
            for each in json.loads(self.body)["files"]
        ]
        self.json({"files": files})

    def batch(self) -> None:
        objects = []
        for each in json.loads(self.body)["objects"]:
            one: dict[str, Any] = {"oid": each["oid"], "size": each["size"]}
            if not self.kept.path(each["oid"]).exists():
                one["actions"] = {"upload": {"href": f"{self.hub.endpoint}/put/{each['oid']}"}}
            objects.append(one)
        self.json({"transfer": "basic", "objects": objects})

    def put(self, digest: str) -> None:
        if hashlib.sha256(self.body).hexdigest() != digest:
            return self.answer.refuse(400, "", "wrong digest")
        self.kept.path(digest).write_bytes(self.body)
        self.kept.sent[digest] += 1
        return self.json({})

    def commit(self, repo: Any, branch: str) -> None:
        from tests.hub.server import Stored

        lines = [json.loads(line) for line in self.body.splitlines() if line.strip()]
        parent = lines[0]["value"].get("parentCommit")
        if parent and parent != repo.branches[branch]:
            return self.answer.refuse(412, "", "A commit has happened since.")
        tree = dict(repo.commits[repo.branches[branch]])
        for line in lines[1:]:
            value = line["value"]
            if line["key"] == "deletedFile":
                del tree[value["path"]]
                continue
            if line["key"] == "lfsFile":
                place, digest = self.kept.path(value["oid"]), value["oid"]
                if not place.exists():
                    return self.answer.refuse(400, "", "an object is not in the storage")
            else:
                data = base64.b64decode(value["content"])
                if value["path"] == self.kept.tamper:
                    data += b" "
                digest, place = "", self.kept.path(hashlib.sha256(data).hexdigest())
                place.write_bytes(data)
            blob = place.read_bytes() if not digest else digest.encode()
            tree[value["path"]] = Stored(place, hashlib.sha1(b"blob %d\0" % len(blob) + blob).hexdigest(), digest)
        self.kept.commits += 1
        oid = hashlib.sha1(self.body + str(self.kept.commits).encode()).hexdigest()
        repo.commits[oid] = tree
        repo.branches[branch] = oid
        name = next(name for name, each in self.hub.repos.items() if each is repo)
        return self.json({"success": True, "commitOid": oid, "commitUrl": f"{self.hub.endpoint}/{name}/commit/{oid}"})

    def json(self, body: object, status: int = 200) -> None:
        self.answer.head(status, {"Content-Type": "application/json"}, json.dumps(body).encode())


def _parts(path: str) -> tuple[str, str, str]:
    org, name, kind, revision = path.removeprefix("/api/models/").split("/", 3)
    return f"{org}/{name}", kind, revision


def _whole(stream: Any, length: int) -> bytes:
    data = stream.read(length)
    if len(data) < length:
        raise ConnectionResetError  # whoever sent it was killed
    return bytes(data)


def _chunks(stream: Any) -> Any:
    while True:
        line = stream.readline()
        if not line:
            raise ConnectionResetError
        size = int(line, 16)
        data = _whole(stream, size)
        stream.readline()
        if not size:
            return
        yield data
