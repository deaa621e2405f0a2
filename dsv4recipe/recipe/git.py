"""Floor 1, recipe. Recipes in git repositories: git+https://host/org/repo@COMMIT#path.yaml. Runs git, keeps a cache.

One commit is fetched, and kept: a second reading asks nobody. No hook and no filter of a repository runs, and no other
protocol than https, ssh and local files is spoken.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import re
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

from dsv4recipe.errors import Where
from dsv4recipe.paths import user_cache
from dsv4recipe.recipe.nodes import fail, short
from dsv4recipe.recipe.text import MAX_BYTES

SCHEME = "git+"
_REFERENCE = re.compile(r"git\+(?P<url>(?:https|ssh|file)://[^\s#]+)@(?P<commit>[^@#]+)#(?P<path>[^#]+)")
_PASSWORD = re.compile(r"//[^/@\s]*:[^/@\s]*@")
_SECONDS = 120
_WRITE = "write git+https://host/org/repo@COMMIT#path/recipe.yaml"


@dataclass(frozen=True, slots=True)
class GitFile:
    """A file of a commit. `url` is what git fetches, `path` that of the file in the repository."""

    url: str
    commit: str
    path: str

    def __str__(self) -> str:
        return f"{SCHEME}{self.url}@{self.commit}#{self.path}"

    def beside(self, reference: str) -> GitFile:
        """Returns the file that a path next to this one means, in the same commit; it may lead out of it."""
        return replace(self, path=posixpath.normpath(posixpath.join(posixpath.dirname(self.path), reference)))


def parse_git(reference: str, where: Where) -> GitFile:
    """Returns the file that a reference means. Raises RecipeError R042 where it is none, or pins no commit."""
    found = _REFERENCE.fullmatch(reference)
    if found is None:
        fail("R042", f'"{short(reference)}" names no file of a commit in git', where, _WRITE)
    if _PASSWORD.search(found["url"]):
        hint = "leave it to git's own credential helper, or to ssh"
        fail("R042", "an address that holds a password would stand in plans and messages", where, hint)
    if not re.fullmatch("[0-9a-f]{40}", found["commit"]):
        hint = "a branch or tag can move; write the 40 hexadecimal digits of the commit"
        fail("R042", f'"{short(found["commit"])}" does not pin a revision', where, hint)
    return GitFile(found["url"], found["commit"], found["path"])


def without_password(reference: str) -> str:
    """Returns a reference as a message may hold it."""
    return _PASSWORD.sub("//", reference)


def read_git(file: GitFile, where: Where) -> str:
    """Returns the text of a file. Raises RecipeError R042 (outside of its repository), R040 (git, network, no such
    file) and R006 (too large)."""
    if any(part in ("", ".", "..") for part in file.path.split("/")):
        fail("R042", f'"{short(file.path)}" points outside of its repository', where, _WRITE)
    place = user_cache() / "git" / hashlib.sha256(file.url.encode()).hexdigest()[:24]
    inside = f"{file.commit}:{file.path}"
    if not (place / "HEAD").exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        _git(file, where, "init", "--quiet", "--bare", str(place))
    if _run(place, "cat-file", "-e", f"{file.commit}^{{commit}}").returncode:
        _git(file, where, "fetch", "--quiet", "--depth", "1", "--no-tags", file.url, file.commit, place=place)
    size = _git(file, where, "cat-file", "-s", inside, place=place)
    if int(size) > MAX_BYTES:
        fail("R006", f"a recipe has at most {MAX_BYTES:,} bytes", Where(str(file)), "split it with `extends`")
    return _git(file, where, "cat-file", "blob", inside, place=place)


def _git(file: GitFile, where: Where, *arguments: str, place: Path | None = None) -> str:
    done = _run(place, *arguments)
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        why = said[-1] if said else f"git ended with {done.returncode}"
        hint = "look at the address, the commit and the network; `git fetch` must be able to read it without a password"
        fail("R040", f"cannot read {short(str(file), 200)}: {why[:200]}", where, hint)
    try:
        return done.stdout.decode("utf-8")
    except UnicodeDecodeError:
        fail("R001", f"{short(str(file), 200)} is not UTF-8 text", where, "save the file as UTF-8")


def _run(place: Path | None, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    kept |= {
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ALLOW_PROTOCOL": "https:ssh:file",
        "GIT_SSH_COMMAND": "ssh -oBatchMode=yes",
    }
    command = ["git", *(("-C", str(place)) if place else ()), *arguments]
    try:
        return subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, env=kept, timeout=_SECONDS, check=False
        )
    except FileNotFoundError:
        return subprocess.CompletedProcess(command, 127, b"", b"git is not installed")
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 124, b"", f"no answer within {_SECONDS} s".encode())
