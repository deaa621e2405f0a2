"""Floor 1, hub. Writes nameless files in a folder, which disappear with their last handle or with the process."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from dsv4recipe.errors import RecipeError, Where
from dsv4recipe.paths import as_path

DEFAULT_LIMIT = 20 << 30


@dataclass(frozen=True, slots=True)
class Scratch:
    """A folder, and the most bytes that downloads may take in it."""

    folder: Path
    limit: int


def scratch_for(bundle: Path, limit: int | None = None, folder: str | Path | None = None) -> Scratch:
    """Returns the scratch for a bundle: by default 20 GiB beside it."""
    return Scratch(as_path(folder) if folder else bundle.absolute().parent, DEFAULT_LIMIT if limit is None else limit)


@dataclass(frozen=True, slots=True)
class ScratchFile:
    """A file without a name. Every method raises RecipeError H011 if the disk fails."""

    folder: Path
    file: IO[bytes]

    @staticmethod
    def make(folder: Path) -> ScratchFile:
        with _named(folder):
            return ScratchFile(folder, tempfile.TemporaryFile(dir=folder, buffering=0))

    def write(self, data: bytes, at: int) -> None:
        view = memoryview(data)
        with _named(self.folder):
            while view:
                written = os.pwrite(self.file.fileno(), view, at)
                view, at = view[written:], at + written

    def read(self, view: memoryview, at: int) -> None:
        """Fills `view` with the bytes from `at`."""
        with _named(self.folder):
            while view:
                count = os.preadv(self.file.fileno(), [view], at)
                if not count:
                    raise OSError(0, "the file ends too early")
                view, at = view[count:], at + count

    def close(self) -> None:
        self.file.close()


@contextlib.contextmanager
def _named(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        message = f"the scratch cannot be used: {error.strerror or error}"
        hint = "make room there, or pass another folder with --scratch-dir DIR"
        raise RecipeError("H011", message, Where(str(folder)), hint) from None
