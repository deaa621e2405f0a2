"""Floor 4, files. Opens the source files of a build once, reads them by position, and notices changes."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dsv4recipe.errors import RecipeError, Where
from dsv4recipe.files import disk
from dsv4recipe.files.readback import ReadBack
from dsv4recipe.plan.pieces import Span


class Reader(Protocol):
    """What a build reads from: files here, or the hub in `streamed`. Threads share it; it is a context manager."""

    @property
    def room(self) -> int:
        """Returns the largest number of bytes on disk that reading takes, in addition to the bundle."""

    @property
    def by_source(self) -> bool:
        """Returns whether the pieces of a shard must be read in the order of the source, not of the shard."""

    @property
    def facts(self) -> dict[str, Any]:
        """Returns what the event plan_loaded says about the source."""

    def __enter__(self) -> Reader: ...

    def __exit__(self, *_: object) -> None: ...

    def read(self, span: Span, into: memoryview) -> None:
        """Fills `into`, which has the size of the span, with its bytes. Raises RecipeError."""

    def stop(self) -> None:
        """Ends all waiting for bytes, because the build ends early."""

    def check_unchanged(self) -> None:
        """Raises RecipeError B005 if the source is not what it was when the build began."""


class Sources:
    """Reads spans of the shards of a source folder. Safe to share between threads; a context manager.

    `sha256` maps file names to the digests that a lock recorded. Such a file is hashed before its first byte is used.
    """

    def __init__(self, root: Path, sha256: Mapping[str, str] | None = None):
        self.root = root
        self.sha256 = dict(sha256 or {})
        self._handles: dict[str, int] = {}
        self._seen: dict[str, tuple[int, int, int]] = {}
        self._lock = threading.Lock()

    @property
    def room(self) -> int:
        return 0

    @property
    def by_source(self) -> bool:
        return False

    @property
    def facts(self) -> dict[str, Any]:
        return {}

    def stop(self) -> None:
        """Does nothing, because reads of files end by themselves."""

    def __enter__(self) -> Sources:
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles.values():
            disk.close(handle)
        self._handles.clear()

    def read(self, span: Span, into: memoryview) -> None:
        """Fills `into`, which has the size of the span, with its bytes. Raises RecipeError B011 or B012 if they cannot
        be read, B006 if the file is not the one that was locked."""
        path = self.root / span.file
        with disk.named_errors(path, "reading the source"):
            disk.read_at(self._open(span.file), span.start, into, str(path))

    def watch(self, names: Iterable[str]) -> None:
        """Makes `check_unchanged` check these files too, which others read. Raises RecipeError B011."""
        for name in names:
            with disk.named_errors(self.root / name, "looking at the source"):
                self._seen.setdefault(name, _identity(disk.fs.stat(self.root / name)))

    def check_unchanged(self) -> None:
        """Raises RecipeError B005 with every file whose size, time or inode changed since it was opened."""
        moved = [name for name, seen in self._seen.items() if self._now(name) != seen]
        if moved:
            message = f"the source changed during the build: {', '.join(sorted(moved))}"
            raise RecipeError("B005", message, Where(str(self.root)), "let the download finish, then build again")

    def _now(self, name: str) -> tuple[int, int, int] | None:
        try:
            return _identity(disk.fs.stat(self.root / name))
        except FileNotFoundError:
            return None
        except OSError:
            with disk.named_errors(self.root / name, "looking at the source"):
                raise

    def _open(self, name: str) -> int:
        with self._lock:
            if name not in self._handles:
                handle = disk.open_source(self.root / name)
                self._handles[name] = handle
                self._seen[name] = _identity(disk.fs.fstat(handle))
                self._check_content(name, handle)
            return self._handles[name]

    def _check_content(self, name: str, handle: int) -> None:
        """Compares a whole file with its lock once. Other threads wait, because they would read the same bytes."""
        wanted = self.sha256.get(name)
        if wanted is None:
            return
        _, found = ReadBack(handle).rest()
        if found != wanted:
            del self._handles[name]
            disk.close(handle)
            raise RecipeError(
                "B006", f"{name} is not the file that was locked: it has sha256 {found[:16]}…, the lock {wanted[:16]}…",
                Where(str(self.root / name)), "download this file again, or make a new lock",
            )  # fmt: skip


def _identity(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_size, status.st_mtime_ns, status.st_ino


def read_span(source: Reader, span: Span) -> NDArray[np.uint8]:
    """Returns the bytes of a span as a uint8 array of its own. Raises RecipeError."""
    data = np.empty(span.end - span.start, np.uint8)
    source.read(span, data.data)
    return data
