"""Floor 1, checkpoint. One protocol for where a checkpoint lies: a folder, or a repository on the hub. Reads small
files.

`checkpoint.open` is the only place that tells them apart; everything else uses a `Source`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from dsv4recipe.errors import RecipeError
from dsv4recipe.headers.safe_path import safe_path
from dsv4recipe.headers.safetensors import Header, read_header
from dsv4recipe.headers.strict_json import TooLargeError, regular_size
from dsv4recipe.paths import left_by_tools


@dataclass(frozen=True, slots=True)
class Origin:
    """The repository and the commit (40 hexadecimal digits, or "") that a source comes from. `by` says how this is
    known: "hub" (from the hub), "cache" (the folder is a snapshot in the hub's cache) or "user" (the user says so)."""

    repo: str
    commit: str
    by: str = "hub"


class Source(Protocol):
    """A place that holds a checkpoint. Names are relative and posix."""

    @property
    def place(self) -> str:
        """Returns the place as messages print it: the folder, or hf://org/repo@commit."""

    @property
    def origin(self) -> Origin | None:
        """Returns which commit of which repository it is, or None if that is not known."""

    def names(self) -> Sequence[str]:
        """Returns the names at the top level, sorted, including folders. Raises OSError."""

    def tree(self) -> Sequence[str]:
        """Returns all files, sorted, without hidden files and other files that tools leave."""

    def holds(self, name: str, named_by: str) -> bool:
        """Returns whether there is such a file. Raises RecipeError C005 for an unsafe name; `named_by` says where the
        name comes from."""

    def small(self, name: str, limit: int) -> bytes:
        """Returns the content of a file. Raises RecipeError C005, TooLargeError beyond `limit` bytes, OSError."""

    def headers(self, names: Sequence[str], named_by: str) -> Iterator[Header | RecipeError]:
        """Returns the header of each safetensors file, in order, or what is wrong with it (C005, C040-C048)."""

    @property
    def real(self) -> bool:
        """Returns whether the files exist; a layout has only names and shapes."""

    def read(self, name: str, start: int, end: int) -> bytes:
        """Returns bytes [start, end) of a file. Raises RecipeError or OSError."""


@dataclass(frozen=True, slots=True)
class FolderSource:
    """The source that is a folder on this machine."""

    root: Path
    origin: Origin | None = None

    @property
    def place(self) -> str:
        return str(self.root)

    @property
    def real(self) -> bool:
        return True

    def names(self) -> Sequence[str]:
        return sorted(path.name for path in self.root.iterdir())

    def tree(self) -> Sequence[str]:
        found = []
        for folder, folders, names in os.walk(self.root, followlinks=False):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            base = Path(folder).relative_to(self.root)
            found += [(base / name).as_posix() for name in names]
        return sorted(name for name in found if not left_by_tools(name))

    def holds(self, name: str, named_by: str) -> bool:
        return safe_path(self.root, name, named_by).exists()

    def small(self, name: str, limit: int) -> bytes:
        path = safe_path(self.root, name, self.place)
        if regular_size(path) > limit:
            raise TooLargeError(limit)
        with path.open("rb") as stream:
            return stream.read(limit)

    def headers(self, names: Sequence[str], named_by: str) -> Iterator[Header | RecipeError]:
        for name in names:
            try:
                yield read_header(safe_path(self.root, name, named_by), name)
            except RecipeError as error:
                yield error

    def read(self, name: str, start: int, end: int) -> bytes:
        with (self.root / name).open("rb") as stream:
            stream.seek(start)
            data = stream.read(end - start)
        if len(data) != end - start:
            raise OSError("the file ends too early")
        return data
