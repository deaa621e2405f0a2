"""Floor 4, builder. The source files of a build, opened once, read by position, watched for change."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from dsv4recipe.builder import disk
from dsv4recipe.builder.pieces import Span
from dsv4recipe.errors import RecipeError, Where


class Sources:
    """Reads spans of the shards of a source folder. Safe to share between threads; a context manager."""

    def __init__(self, root: Path):
        self.root = root
        self._handles: dict[str, int] = {}
        self._seen: dict[str, tuple[int, int, int]] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Sources:
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles.values():
            os.close(handle)
        self._handles.clear()

    def read(self, span: Span) -> bytearray:
        """The bytes of a span. Raises RecipeError B011 or B012 if they cannot be read."""
        path = self.root / span.file
        with disk.named_errors(path, "reading the source"):
            return disk.read_at(self._open(span.file), span.start, span.end, str(path))

    def check_unchanged(self) -> None:
        """Raises RecipeError B005 naming every file whose size, time or inode moved since it was opened."""
        moved = [name for name, seen in self._seen.items() if _identity(os.stat(self.root / name)) != seen]
        if moved:
            message = f"the source changed during the build: {', '.join(sorted(moved))}"
            raise RecipeError("B005", message, Where(str(self.root)), "let the download finish, then build again")

    def _open(self, name: str) -> int:
        with self._lock:
            if name not in self._handles:
                handle = os.open(self.root / name, os.O_RDONLY)
                self._handles[name] = handle
                self._seen[name] = _identity(os.fstat(handle))
            return self._handles[name]


def _identity(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_size, status.st_mtime_ns, status.st_ino
