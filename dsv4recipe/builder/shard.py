"""Floor 4, builder. Writes one shard: pieces at their offsets, flushed and read back as it grows, then renamed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dsv4recipe.builder import journal
from dsv4recipe.builder.zeros import Zeros
from dsv4recipe.errors import RecipeError, Where
from dsv4recipe.files import disk
from dsv4recipe.files.arena import Arena
from dsv4recipe.files.readback import DamagedError, ReadBack, Span, Written, span
from dsv4recipe.files.sources import Reader, read_span
from dsv4recipe.formats.encode import BadValue, NoScale, NotExact
from dsv4recipe.formats.indices import first_outside
from dsv4recipe.guidance.encode import encode_guided
from dsv4recipe.importance.model import Guide
from dsv4recipe.plan.pieces import Piece
from dsv4recipe.plan.pieces import Span as SourceSpan

EXTENT = 64 << 20
"""The number of bytes that is worth a flush."""


@dataclass(frozen=True, slots=True)
class ShardTask:
    """Everything that makes one file: its digest, exact size, header, constants and pieces."""

    task: str
    file: str
    size: int
    header: bytes
    constants: tuple[tuple[int, bytes], ...]
    pieces: tuple[Piece, ...]


def temporary_mark(task: str, attempt: str = "") -> str:
    """Returns the part of a temporary file's name that identifies its task and attempt, so that the leftovers of one
    attempt can be removed while another one runs."""
    return f"{task[:16]}.{attempt}." if attempt else f"{task[:16]}."


class OpenShard:
    """A shard that is being written; its first `resumed` bytes exist already. Threads call `run` with its pieces, then
    `follow`. The thread that runs the last piece calls `finish`. `zeros` counts zeros in the source."""

    def __init__(
        self,
        task: ShardTask,
        folder: Path,
        sources: Reader,
        arena: Arena,
        importance: Guide | None = None,
        mark: str = "",
    ) -> None:
        self.task = task
        self.live = False
        self.resumed = 0
        self.zeros = Zeros(task.pieces)
        self._folder = folder
        self._mark = temporary_mark(task.task, mark)
        self._sources = sources
        self._arena = arena
        self._importance = importance
        self._counting = threading.Lock()
        self._reading = threading.Lock()

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """Returns the pieces that must be run, in the order of the file."""
        return self.task.pieces

    def begin(self) -> None:
        """Reserves the file and writes header and constants."""
        self._temp = disk.temporary(self._folder / self.task.file, self._mark)
        self._handle = disk.create(self._temp, self.task.size)
        self.live = True
        self._left = len(self.pieces)
        self._lost = False
        self._written, self._found = Written(), ReadBack(self._handle)
        self._write([(0, self.task.header), *self.task.constants])

    def run(self, piece: Piece) -> tuple[int, bool]:
        """Reads, encodes and writes one piece. Returns the bytes written, and whether it was the shard's last piece."""
        arrays = encode_piece(piece, self._sources, self._arena, self._importance, self.zeros.look)
        self._write([(at, array.data.cast("B")) for at, array in zip(piece.offsets, arrays, strict=True)])
        with self._counting:
            self._left -= 1
            return sum(array.nbytes for array in arrays), self._left == 0

    def follow(self) -> None:
        """Flushes and reads back the contiguous start of the file, if it has grown enough and no other thread does so.
        Then only the last bytes are left for `finish`. Raises what `finish` raises."""
        if self._written.together - self._found.position < EXTENT or self._lost:
            return
        if self._reading.acquire(blocking=False):
            try:
                self._prove(self._written.take(), drive=False)
                self._proven()
            except disk.LostWritesError:
                self._lost = True
            finally:
                self._reading.release()

    def _proven(self) -> None:
        """Is called when more of the file is proven, while no other thread proves."""

    def finish(self) -> journal.Entry:
        """Makes the shard durable under its name. After a failed fsync the whole shard is written once more.

        Raises RecipeError B013 if the bytes read back are not those written, B010 or B011 if the disk fails.
        """
        with self._reading:
            try:
                if not self._lost:
                    return self._seal()
            except disk.LostWritesError:
                pass
            self.abandon()
            self.begin()
            for piece in self.pieces:
                self.run(piece)
            with disk.named_errors(self._temp, "flushing for the second time"):
                return self._seal()

    def abandon(self) -> None:
        """Removes the temporary file. Raises nothing, because the next build removes what is left."""
        if self.live:
            self._close()
            disk.discard(self._temp)

    def _write(self, blocks: list[tuple[int, bytes | memoryview]]) -> None:
        with disk.named_errors(self._temp, "writing"):
            for offset, data in blocks:
                disk.write_at(self._handle, data, offset)
        self._written.add([span(data, offset) for offset, data in blocks])

    def _prove(self, spans: list[Span], drive: bool) -> None:
        """Flushes the file, and compares `spans`, which come next in it, with what is on the drive."""
        try:
            disk.sync_file(self._handle, drive)
            disk.forget_pages(self._handle, self._found.position, self._written.together)
            with disk.named_errors(self._temp, "reading back"):
                self._found.check(spans)
        except disk.LostWritesError:
            raise
        except DamagedError as damage:
            raise self._damaged(damage) from None
        except OSError:
            with disk.named_errors(self._temp, "flushing"):
                raise

    def _seal(self) -> journal.Entry:
        self._prove(self._written.take_all(), drive=True)
        try:
            with disk.named_errors(self._temp, "reading back"):
                size, digest = self._found.end()
            if size != self.task.size:
                raise DamagedError(f"it has {size:,} bytes, but {self.task.size:,} were planned")
        except DamagedError as damage:
            raise self._damaged(damage) from None
        self._close()
        self._publish()
        return journal.Entry(self.task.task, self.task.file, size, digest, self.zeros.by_tensor())

    def _publish(self) -> None:
        disk.publish(self._temp, self._folder / self.task.file)

    def _damaged(self, damage: DamagedError) -> RecipeError:
        hint = "memory or disk changed it; check both before you build again"
        return RecipeError("B013", f"{self.task.file} is damaged: {damage}", Where(str(self._temp)), hint)

    def _close(self) -> None:
        disk.close(self._handle)
        self.live = False


def encode_piece(
    piece: Piece,
    sources: Reader,
    arena: Arena,
    importance: Guide | None = None,
    look: Callable[[Piece, np.ndarray], None] = lambda piece, weight: None,
) -> tuple[np.ndarray, ...]:
    """Returns the bytes of a piece, in memory of the arena that this call reuses. `look` is called with its weight.

    Raises RecipeError with tensor, row and column: B020 for a value that cannot be encoded, B021 for a group that an
    exact format cannot hold, B022 for an index out of range, B024 for a scale; K003 for a damaged activation record.
    """

    def read(where: SourceSpan) -> np.ndarray:
        data = arena.empty((where.end - where.start,), np.uint8)
        sources.read(where, data.data)
        return data

    arena.begin()
    weight, scale = read(piece.weight), None if piece.scale is None else read(piece.scale)
    look(piece, weight)
    if piece.below:
        _check_indices(piece, weight)
    try:
        return encode_guided(piece, weight, scale, importance, lambda where: read_span(sources, where), arena.empty)
    except BadValue as bad:
        code, hint = _TOLD.get(type(bad), ("B020", _DAMAGED))
        message = f"{piece.tensor}: {bad.reason} at row {piece.first_row + bad.row}, column {bad.column}"
        raise RecipeError(code, message, Where(piece.weight.file, subject=piece.tensor), hint) from None


def _check_indices(piece: Piece, weight: np.ndarray) -> None:
    position, value = first_outside(weight, piece.source.dtype, piece.below)
    if position >= 0:
        row, column = divmod(position, piece.source.shape[-1])
        message = (
            f"{piece.tensor}: row {piece.first_row + row}, column {column} holds {value}, but there are only "
            f"{piece.below:,} things that it can refer to (0 to {piece.below - 1:,})"
        )
        raise RecipeError("B022", message, Where(piece.weight.file, subject=piece.tensor), _NUMBERED)


_NUMBERED = (
    "a runtime would read memory outside of the model. If experts were pruned, the table must be renumbered as the "
    "experts were; otherwise the file is damaged, so download it again"
)
_DAMAGED = "the checkpoint is damaged or does not match its headers; download this file again"
_INEXACT = "use 5 bits, group size 32 and bfloat16 scales, which hold any FP4 source exactly, or use `fit: mse`"
_SCALES = (
    "no format here can hold codes times a scale that is not a power of two exactly; write the model in BF16 with the "
    "tool that quantized it, or pass the checkpoint that it was made from"
)
_TOLD = {NotExact: ("B021", _INEXACT), NoScale: ("B024", _SCALES)}
