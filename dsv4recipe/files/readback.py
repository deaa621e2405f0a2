"""Floor 4, files. A file as it is on disk: read back, held against what was written, hashed. Reads files.

CRC-32 tells what was encoded from what is on disk, range by range; sha256 of the whole goes into the manifest.
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
"""offset, size and CRC-32 of bytes that were written."""


class DamagedError(Exception):
    """What is read back is not what was written. The message says where."""


def span(data: bytes | memoryview, offset: int) -> Span:
    return offset, len(data), zlib.crc32(data)


class Written:
    """The ranges of a file that were written from byte `start` on, by any thread in any order, and are not yet read
    back."""

    def __init__(self, start: int = 0) -> None:
        self.together = start
        self._lock = threading.Lock()
        self._ready: list[Span] = []
        self._apart: list[Span] = []

    def add(self, spans: Iterable[Span]) -> None:
        """`together` becomes the end of the ranges that follow each other from the start of the file."""
        with self._lock:
            for each in spans:
                heapq.heappush(self._apart, each)
            while self._apart and self._apart[0][0] <= self.together:
                self._ready.append(heapq.heappop(self._apart))
                self.together = max(self.together, self._ready[-1][0] + self._ready[-1][1])

    def take(self) -> list[Span]:
        """Returns the ranges that follow each other, each given once."""
        with self._lock:
            ready, self._ready = self._ready, []
            return ready

    def take_all(self) -> list[Span]:
        """Returns everything that is left, in the order of the file."""
        return self.take() + sorted(self._apart)


class ReadBack:
    """A file read from its start, once, in as many steps as it grows in. `position` is the first byte not yet read."""

    def __init__(self, handle: int) -> None:
        self.position = 0
        self._handle = handle
        self._digest = hashlib.sha256()
        self._buffer = memoryview(bytearray(_CHUNK))

    def check(self, spans: Iterable[Span]) -> None:
        """Reads the next spans, which must follow each other without gap or overlap and hold what was written.

        Raises DamagedError, and OSError.
        """
        for offset, size, written in spans:
            if offset != self.position:
                raise DamagedError(f"bytes were written never or twice between {offset:,} and {self.position:,}")
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
            raise DamagedError(f"the file goes on after byte {checked:,}")
        return size, digest

    def rest(self) -> tuple[int, str]:
        """Returns (size, sha256) of the whole file, after reading what is left of it. Raises OSError."""
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
