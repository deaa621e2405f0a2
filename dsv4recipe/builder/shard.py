"""Floor 4, builder. One shard: pieces written at their offsets, then fsync, read-back, rename, journal line."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from dsv4recipe.builder import disk, journal
from dsv4recipe.builder.pieces import Piece
from dsv4recipe.builder.sources import Sources
from dsv4recipe.errors import RecipeError, Where
from dsv4recipe.formats.encode import BadValue, encode


@dataclass(frozen=True, slots=True)
class ShardTask:
    """Everything that makes one file: its digest, exact size, header, constants and pieces."""

    task: str
    file: str
    size: int
    header: bytes
    constants: tuple[tuple[int, bytes], ...]
    pieces: tuple[Piece, ...]


@dataclass(slots=True)
class OpenShard:
    """A shard being written. Threads call `run` with its pieces; whoever runs the last one calls `finish`."""

    task: ShardTask
    folder: Path
    sources: Sources
    handle: int = -1
    temp: Path = field(default_factory=Path)
    left: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self) -> None:
        """Reserves the file and writes header and constants."""
        self.temp = disk.temporary(self.folder / self.task.file)
        self.handle = disk.create(self.temp, self.task.size)
        self.left = len(self.task.pieces)
        with disk.named_errors(self.temp, "writing"):
            disk.write_at(self.handle, self.task.header, 0)
            for offset, data in self.task.constants:
                disk.write_at(self.handle, data, offset)

    def run(self, piece: Piece) -> tuple[int, bool]:
        """Reads, encodes and writes one piece. Returns the bytes written, and whether it was the shard's last piece."""
        arrays = encode_piece(piece, self.sources)
        with disk.named_errors(self.temp, "writing"):
            for array, offset in zip(arrays, piece.offsets, strict=True):
                disk.write_at(self.handle, array.data.cast("B"), offset)
        with self.lock:
            self.left -= 1
            return sum(array.nbytes for array in arrays), self.left == 0

    def finish(self) -> journal.Entry:
        """Makes the shard durable under its name. Raises RecipeError B013 if what is read back is not what was
        planned."""
        with disk.named_errors(self.temp, "flushing"):
            disk.sync_file(self.handle)
        self._close()
        size, digest = disk.read_back(self.temp)
        if size != self.task.size:
            message = f"{self.task.file} has {size:,} bytes on disk, {self.task.size:,} were planned"
            raise RecipeError("B013", message, Where(str(self.temp)))
        disk.publish(self.temp, self.folder / self.task.file)
        return journal.Entry(self.task.task, self.task.file, size, digest)

    def abandon(self) -> None:
        self._close()
        if self.temp.name:
            self.temp.unlink(missing_ok=True)

    def _close(self) -> None:
        if self.handle >= 0:
            os.close(self.handle)
            self.handle = -1


def encode_piece(piece: Piece, sources: Sources) -> tuple[np.ndarray, ...]:
    """The bytes of a piece. Raises RecipeError B020 naming tensor, row and column of a value that cannot be encoded."""
    weight = np.frombuffer(sources.read(piece.weight), np.uint8)
    scale = None if piece.scale is None else np.frombuffer(sources.read(piece.scale), np.uint8)
    try:
        return encode(piece.format, piece.source, weight, scale)
    except BadValue as bad:
        raise RecipeError(
            "B020",
            f"{piece.tensor}: {bad.reason} at row {piece.first_row + bad.row}, column {bad.column}",
            Where(piece.weight.file, subject=piece.tensor),
            "the checkpoint is damaged or not what its headers say: download this file again",
        ) from None
