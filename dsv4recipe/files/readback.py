"""Floor 4, files. Reads files back from disk, compares them with what was written, and hashes them.

CRC-32 compares what was encoded with what is on disk, range by range. The sha256 of the whole goes into the manifest.
"""

from __future__ import annotations

import hashlib
import heapq
import threading
import zlib
from collections.abc import Iterable
from pathlib import Path

from dsv4recipe.files import disk

_CHUNK = 1 << 20

Span = tuple[int, int, int]
"""The offset, size and CRC-32 of written bytes."""


class DamagedError(Exception):
    """The bytes read back are not those that were written. The message says where."""


def span(data: bytes | memoryview, offset: int) -> Span:
    return offset, len(data), zlib.crc32(data)


class Written:
    """The ranges of a file, from byte `start` on, that any thread wrote in any order and that are not yet read back."""

    def __init__(self, start: int = 0) -> None:
        self.together = start
        self._lock = threading.Lock()
        self._ready: list[Span] = []
        self._apart: list[Span] = []

    def add(self, spans: Iterable[Span]) -> None:
        """Adds ranges; `together` becomes the end of the contiguous ranges at the start of the file."""
        with self._lock:
            for each in spans:
                heapq.heappush(self._apart, each)
            while self._apart and self._apart[0][0] <= self.together:
                self._ready.append(heapq.heappop(self._apart))
                self.together = max(self.together, self._ready[-1][0] + self._ready[-1][1])

    def take(self) -> list[Span]:
        """Returns the contiguous ranges, each only once."""
        with self._lock:
            ready, self._ready = self._ready, []
            return ready

    def take_all(self) -> list[Span]:
        """Returns all remaining ranges, in the order of the file."""
        return self.take() + sorted(self._apart)


class ReadBack:
    """Reads a file once from its start, in steps as it grows. `position` is the first byte not yet read."""

    def __init__(self, handle: int) -> None:
        self.position = 0
        self._handle = handle
        self._digest = hashlib.sha256()
        self._buffer = memoryview(bytearray(_CHUNK))

    def check(self, spans: Iterable[Span]) -> None:
        """Reads the next spans, which must be contiguous and hold what was written.

        Raises DamagedError, and OSError.
        """
        for offset, size, written in spans:
            if offset != self.position:
                raise DamagedError(
                    f"bytes between {offset:,} and {self.position:,} were never written, or written twice"
                )
            crc, end = 0, offset + size
            while self.position < end and (piece := self._read(end - self.position)):
                crc = zlib.crc32(piece, crc)
            if self.position < end or crc != written:
                raise DamagedError(f"bytes {offset:,} to {end:,} are not those that were written")

    @property
    def digest(self) -> str:
        """Returns sha256 (hex) of the file up to `position`."""
        return self._digest.copy().hexdigest()

    def through(self, end: int) -> None:
        """Reads up to `end`, or up to the end of the file before it. Raises OSError."""
        while self.position < end and self._read(end - self.position):
            pass

    def end(self) -> tuple[int, str]:
        """Returns (size, sha256) of the file, all of which has been checked. Raises DamagedError, and OSError."""
        checked = self.position
        size, digest = self.rest()
        if size > checked:
            raise DamagedError(f"the file continues after byte {checked:,}")
        return size, digest

    def rest(self) -> tuple[int, str]:
        """Returns (size, sha256) of the whole file, after reading the rest of it. Raises OSError."""
        while self._read(_CHUNK):
            pass
        return self.position, self._digest.hexdigest()

    def _read(self, most: int) -> memoryview:
        count = disk.read_into(self._handle, self._buffer[: min(most, _CHUNK)], self.position)
        self._digest.update(self._buffer[:count])
        self.position += count
        return self._buffer[:count]


def hash_of(path: Path) -> tuple[int, str]:
    """Returns (size, sha256) of a file by its name. Raises RecipeError B011."""
    with disk.named_errors(path, "reading back"):
        handle = disk.open_own(path)
        try:
            return ReadBack(handle).rest()
        finally:
            disk.close(handle)
