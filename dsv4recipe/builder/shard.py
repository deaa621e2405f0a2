"""Floor 4, builder. One shard: pieces written at their offsets, then fsync, read-back, rename, journal line."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from dsv4recipe.builder import disk, journal
from dsv4recipe.builder.sources import Sources
from dsv4recipe.errors import RecipeError, Where
from dsv4recipe.formats.encode import BadValue, encode
from dsv4recipe.plan.pieces import Piece


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
    """A shard being written. Threads call `run` with its pieces; whoever runs the last one calls `finish`.

    `spans` says of every byte range that was written what it must look like when it is read back.
    """

    task: ShardTask
    folder: Path
    sources: Sources
    handle: int = -1
    temp: Path = field(default_factory=Path)
    left: int = 0
    spans: list[disk.Span] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self) -> None:
        """Reserves the file and writes header and constants."""
        self.temp = disk.temporary(self.folder / self.task.file)
        self.handle = disk.create(self.temp, self.task.size)
        self.left = len(self.task.pieces)
        self.spans = []
        self._write([(0, self.task.header), *self.task.constants])

    def run(self, piece: Piece) -> tuple[int, bool]:
        """Reads, encodes and writes one piece. Returns the bytes written, and whether it was the shard's last piece."""
        arrays = encode_piece(piece, self.sources)
        self._write([(at, array.data.cast("B")) for at, array in zip(piece.offsets, arrays, strict=True)])
        with self.lock:
            self.left -= 1
            return sum(array.nbytes for array in arrays), self.left == 0

    def finish(self) -> journal.Entry:
        """Makes the shard durable under its name. After a failed fsync the whole shard is written once more.

        Raises RecipeError B013 if what is read back is not what was written, B010 or B011 if the disk refuses.
        """
        try:
            return self._seal()
        except disk.LostWritesError:
            self.abandon()
            self.begin()
            for piece in self.task.pieces:
                self.run(piece)
        with disk.named_errors(self.temp, "flushing for the second time"):
            return self._seal()

    def abandon(self) -> None:
        """Drops the temporary file. Raises nothing: the sweep of the next build takes what stays."""
        self._close()
        if self.temp.name:
            disk.discard(self.temp)

    def _write(self, blocks: list[tuple[int, bytes | memoryview]]) -> None:
        with disk.named_errors(self.temp, "writing"):
            for offset, data in blocks:
                disk.write_at(self.handle, data, offset)
        spans = [disk.span(data, offset) for offset, data in blocks]
        with self.lock:
            self.spans += spans

    def _seal(self) -> journal.Entry:
        try:
            disk.sync_file(self.handle)
            disk.forget_pages(self.handle)
            with disk.named_errors(self.temp, "reading back"):
                size, digest = disk.read_back(self.handle, self.spans)
            if size != self.task.size:
                raise disk.DamagedError(f"it has {size:,} bytes, {self.task.size:,} were planned")
        except disk.LostWritesError:
            raise
        except disk.DamagedError as damage:
            hint = "memory or disk changed it on the way: check both before you build again"
            raise RecipeError("B013", f"{self.task.file} is damaged: {damage}", Where(str(self.temp)), hint) from None
        except OSError:
            with disk.named_errors(self.temp, "flushing"):
                raise
        self._close()
        disk.publish(self.temp, self.folder / self.task.file)
        return journal.Entry(self.task.task, self.task.file, size, digest)

    def _close(self) -> None:
        if self.handle >= 0:
            disk.close(self.handle)
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
