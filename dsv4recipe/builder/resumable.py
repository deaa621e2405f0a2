"""Floor 4, builder. Journals a very large file while it grows, so that a resumed build can continue within it.

It is only for files whose pieces each write one range, in the order of the file (GGUF), so that the proven part is a
prefix. Each line of the progress file holds the sha256 of the file up to some byte. A resumed build reads the file from
its start and continues after the last line that still matches.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

from dsv4recipe.builder import journal
from dsv4recipe.builder.shard import OpenShard, ShardTask
from dsv4recipe.errors import RecipeError, Where
from dsv4recipe.files import disk
from dsv4recipe.files.atomic import write_file
from dsv4recipe.files.readback import ReadBack, Written
from dsv4recipe.plan.pieces import Piece

NAME = "progress.jsonl"
Zero = tuple[int, str, int]
"""Where a piece is written, its tensor, and how many of its sectors are all zeros."""


@dataclass(frozen=True, slots=True)
class _Line:
    """A proven prefix: the sha256 of the file up to `end`, and the zeros of the pieces since the line before."""

    end: int
    sha256: str
    zeros: tuple[Zero, ...] = ()


def part_path(folder: Path, file: str) -> Path:
    """Returns the path of the file while it grows; it is hidden, and cleaning up does not remove it."""
    return folder / f".{file}.part"


def kept_bytes(folder: Path, file: str) -> int:
    """Returns how many bytes on disk the unfinished file of an interrupted build already takes."""
    try:
        return os.lstat(part_path(folder, file)).st_blocks * 512
    except OSError:
        return 0


def proven_bytes(folder: Path, task: ShardTask) -> int:
    """Returns the number of valid bytes of the unfinished file, after which a build continues. Reads them. Raises
    RecipeError B011."""
    with disk.named_errors(part_path(folder, task.file), "reading back unfinished work"):
        handle, lines = _left(folder, task)
        if handle < 0:
            return 0
        try:
            return _still_true(handle, lines)[1].position
        finally:
            disk.close(handle)


class ResumableShard(OpenShard):
    """An `OpenShard` that keeps its file when the build stops, and continues after its proven part."""

    @property
    def pieces(self) -> tuple[Piece, ...]:
        return tuple(piece for piece in self.task.pieces if piece.offsets[0] >= self.resumed)

    def begin(self) -> None:
        """Opens the existing file, or reserves a new one; writes header and constants after the proven part."""
        self._temp = part_path(self._folder, self.task.file)
        with disk.named_errors(self._temp, "reading back unfinished work"):
            self._handle = self._reopened()
        self.live = True
        self._lost = False
        self._written = Written(self.resumed)
        self._left = len(self.pieces)
        self._told, self._refused = self.resumed, False
        self._write([each for each in [(0, self.task.header), *self.task.constants] if each[0] >= self.resumed])

    def run(self, piece: Piece) -> tuple[int, bool]:
        """Runs a piece as every shard does. If the source is all zeros, the proven part is not trusted again."""
        try:
            return super().run(piece)
        except RecipeError as error:
            if error.diagnostics[0].code == "B023":
                with self._reading:
                    self._refused = True
                    disk.remove(self._folder / NAME)
            raise

    def follow(self) -> None:
        super().follow()
        if self._lost:
            raise RecipeError(
                "B011", "a flush failed", Where(str(self._temp)), "run the same command again to continue"
            )

    def _proven(self) -> None:
        if self._found.position < self.task.size and not self._refused:
            start, self._told = self._told, self._found.position
            zeros = sorted((at, *rest) for at, rest in tuple(self.zeros.found.items()) if start <= at < self._told)
            line = _Line(self._told, self._found.digest, tuple(zeros))
            disk.append_line(self._folder / NAME, self._text(line))

    def _text(self, line: _Line) -> str:
        more = {"zeros": line.zeros} if line.zeros else {}
        return json.dumps({"task": self.task.task, "end": line.end, "sha256": line.sha256, **more}, sort_keys=True)

    def finish(self) -> journal.Entry:
        """Makes the file durable under its name. After a failed fsync the next build continues from the last line."""
        with self._reading, disk.named_errors(self._temp, "flushing; run the same command again to continue"):
            return self._seal()

    def abandon(self) -> None:
        """Closes the file, which stays for the next build."""
        if self.live:
            self._close()

    def _reopened(self) -> int:
        """Returns the file as it was left, read up to the last line that matches, or a new file."""
        handle, lines = _left(self._folder, self.task)
        good, self._found = _still_true(handle, lines)
        if good:
            write_file(self._folder / NAME, "".join(self._text(line) + "\n" for line in good).encode())
            self.zeros.found |= {at: (tensor, zero) for line in good for at, tensor, zero in line.zeros}
        else:
            if handle >= 0:
                disk.close(handle)
            disk.remove(self._temp)
            disk.remove(self._folder / NAME)
            handle = disk.create(self._temp, self.task.size)
            disk.sync_folder(self._folder)
            self._found = ReadBack(handle)
        self.resumed = self._found.position
        return handle


def _left(folder: Path, task: ShardTask) -> tuple[int, list[_Line]]:
    """Returns the unfinished file of a task, opened, with the lines of its progress; -1 and no lines if there is
    none."""
    lines = _recorded(folder, task.task)
    handle = disk.open_again(part_path(folder, task.file), task.size) if lines else -1
    return handle, lines if handle >= 0 else []


def _still_true(handle: int, lines: list[_Line]) -> tuple[list[_Line], ReadBack]:
    """Returns the first lines that match the file, and the file read up to the last of them."""
    found = ReadBack(handle)
    for number, line in enumerate(lines):
        found.through(line.end)
        if found.digest != line.sha256:
            again = ReadBack(handle)
            again.through(lines[number - 1].end if number else 0)
            return lines[:number], again
    return lines, found


def _recorded(folder: Path, task: str) -> list[_Line]:
    """Returns the lines of this task in rising order, up to the first that is torn or of another task."""
    found: list[_Line] = []
    for line in (disk.read_small(folder / NAME) or b"").split(b"\n"):
        with contextlib.suppress(ValueError, KeyError, TypeError):
            row = json.loads(line)
            if row["task"] == task and type(row["end"]) is int and row["end"] > (found[-1].end if found else 0):
                zeros = tuple((int(at), str(tensor), int(zero)) for at, tensor, zero in row.get("zeros", ()))
                found.append(_Line(row["end"], str(row["sha256"]), zeros))
                continue
        break
    return found
