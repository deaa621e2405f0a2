"""Floor 4, verifier. What an earlier proof hashed: files that are as they were then are not read whole again. Reads a
sample of them, and reads and writes receipts.

A receipt stands in the user's cache, never in the bundle. A file counts as unchanged where its size, time of change and
inode are those of the receipt, and a sample of its bytes is, too. A file that was changed less than two seconds before
it was hashed is hashed again: its time cannot tell a later change from that one.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from dsv4recipe.files.atomic import write_file
from dsv4recipe.paths import user_cache

VARIABLE = "DSV4RECIPE_CACHE"
_BLOCKS, _BLOCK = 16, 64 << 10
_RACY = 2 * 10**9
"""Nanoseconds."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A file when it was hashed. Times are nanoseconds; `sample` is sha256 over some of its blocks."""

    size: int
    mtime: int
    inode: int
    sample: str
    sha256: str


@dataclass(slots=True)
class Receipt:
    """What is known of the files of one bundle. `kept` says why nothing can be written, "" while it can."""

    path: Path
    files: dict[str, Seen] = field(default_factory=dict)
    unchanged: int = 0
    problem: str = ""

    def known(self, name: str, path: Path) -> tuple[int, str] | None:
        """Returns (size, sha256) of a file that is as it was; None where it has to be hashed. Raises OSError."""
        seen = self.files.get(name)
        if seen is None:
            return None
        now = os.stat(path)
        if (now.st_size, now.st_mtime_ns, now.st_ino) != (seen.size, seen.mtime, seen.inode):
            return None
        if _sample(path, now.st_size) != seen.sample:
            return None
        self.unchanged += 1
        return seen.size, seen.sha256

    def hashed(self, name: str, path: Path, found: tuple[int, str]) -> None:
        """Keeps what was just hashed, at once, so that an interrupted proof goes on from here. Raises OSError for the
        file itself; a cache that cannot be written becomes `problem`."""
        now = os.stat(path)
        if time.time_ns() - now.st_mtime_ns < _RACY or now.st_size != found[0]:
            return
        self.files[name] = Seen(now.st_size, now.st_mtime_ns, now.st_ino, _sample(path, now.st_size), found[1])
        data = {"format_version": 1, "files": {name: asdict(seen) for name, seen in sorted(self.files.items())}}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_file(self.path, (json.dumps(data, indent=1) + "\n").encode())
        except Exception as error:  # a full disk, a cache that is read-only: the proof itself goes on
            self.problem = str(error)


def receipt_of(bundle: Path, full: bool = False) -> Receipt:
    """Returns the receipt of a bundle, by its place; an empty one where there is none, it is not readable, or with
    `full`."""
    name = hashlib.sha256(os.fsencode(bundle.resolve())).hexdigest()[:32]
    path = cache_folder() / "receipts" / f"{name}.json"
    if full:
        return Receipt(path)
    try:
        return Receipt(path, {name: Seen(**each) for name, each in _files(path).items()})
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return Receipt(path)


def cache_folder() -> Path:
    """Returns where receipts are kept: DSV4RECIPE_CACHE, else the cache folder of the user."""
    told = os.environ.get(VARIABLE)
    return Path(told).expanduser() if told else user_cache()


def _files(path: Path) -> Mapping[str, Any]:
    data = json.loads(path.read_bytes())
    if data["format_version"] != 1:
        raise ValueError("another version")
    found: Mapping[str, Any] = data["files"]
    return found


def _sample(path: Path, size: int) -> str:
    """Returns sha256 over the first block, the last one and some between, always the same for a size."""
    last = max(0, size - _BLOCK)
    draw = random.Random(size)
    places = {0, last, *(draw.randint(0, last) for _ in range(_BLOCKS - 2))}
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        for place in sorted(places):
            file.seek(place)
            digest.update(file.read(_BLOCK))
    return digest.hexdigest()
