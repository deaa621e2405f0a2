"""Floor 1, checkpoint. Where a checkpoint lies: a folder, or a repository of the hub; one protocol. Reads small files.

`open_source` is the one place that tells them apart: everything else asks a `Source`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from dsv4recipe.checkpoint.other_things import snapshot_in
from dsv4recipe.errors import RecipeError, Where
from dsv4recipe.headers.safe_path import safe_path
from dsv4recipe.headers.safetensors import Header, read_header
from dsv4recipe.headers.strict_json import TooLargeError, regular_size
from dsv4recipe.hub.address import SCHEME, parse_address
from dsv4recipe.paths import as_path, left_by_tools


@dataclass(frozen=True, slots=True)
class Origin:
    """The repository and the commit (40 hexadecimal digits, or "") that a source is known to be. `by` says how: "hub"
    (it was asked), "cache" (the folder is a snapshot in the hub's cache) or "user" (who runs the command says so)."""

    repo: str
    commit: str
    by: str = "hub"


class Source(Protocol):
    """A place that holds a checkpoint. Names are relative and posix."""

    @property
    def place(self) -> str:
        """What messages call it: the folder, or hf://org/repo@commit."""

    @property
    def origin(self) -> Origin | None:
        """Which commit of which repository it is, where that is known."""

    def names(self) -> Sequence[str]:
        """The names at the top, sorted, folders too. Raises OSError."""

    def tree(self) -> Sequence[str]:
        """All files, sorted, without hidden ones and what else tools leave."""

    def holds(self, name: str, named_by: str) -> bool:
        """Whether there is such a file. Raises RecipeError C005 for an unsafe name; `named_by` is where it stands."""

    def small(self, name: str, limit: int) -> bytes:
        """The content of a file. Raises RecipeError C005, TooLargeError beyond `limit` bytes, OSError."""

    def headers(self, names: Sequence[str], named_by: str) -> Iterator[Header | RecipeError]:
        """The header of each safetensors file, in order, or what is wrong with it (C005, C040-C048)."""

    @property
    def real(self) -> bool:
        """Whether the files are there; a layout has names and shapes only."""

    def read(self, name: str, start: int, end: int) -> bytes:
        """Bytes [start, end) of a file. Raises RecipeError or OSError."""


@dataclass(frozen=True, slots=True)
class FolderSource:
    """A folder on this machine."""

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
            raise OSError("it ends too early")
        return data


def open_source(place: str | Path) -> Source:
    """The source that a user names: a folder, hf://org/repo@revision, or a plain org/repo where neither that folder nor
    one called org is here. A Path is always a folder. Raises RecipeError C001, H001-H009."""
    if isinstance(place, str):
        address = parse_address(place)
        if address is not None and (place.startswith(SCHEME) or not _is_here(place)):
            from dsv4recipe.checkpoint.hub_source import open_hub

            return open_hub(address, place)
    root = as_path(place)
    if not root.is_dir():
        what = "is a file, not a folder" if root.exists() else "does not exist"
        hint = "give the folder that holds config.json and the safetensors files, or hf://org/repo"
        if root.suffix == ".gguf":
            what, hint = "is a GGUF, quantized already, and no source checkpoint", f"{hint}, that it was made from"
        raise RecipeError("C001", f"{root} {what}", Where(str(root)), hint)
    root = snapshot_in(root)
    return FolderSource(root, snapshot_origin(root))


_SNAPSHOT = re.compile(r"models--(?P<org>[\w.-]+?)--(?P<name>[\w.-]+)")
_COMMIT = re.compile(r"[0-9a-f]{40}")


def snapshot_origin(root: Path) -> Origin | None:
    """The origin of models--ORG--NAME/snapshots/COMMIT, as the hub's cache calls its folders."""
    *_, repo, snapshots, commit = ("", "", "", *root.absolute().parts)
    found = _SNAPSHOT.fullmatch(repo)
    if found is None or snapshots != "snapshots" or not _COMMIT.fullmatch(commit):
        return None
    return Origin(f"{found['org']}/{found['name']}", commit, "cache")


def pinned(place: str, model: str, revision: str) -> str:
    """A repository of the hub without a revision, with the one that a recipe pins for it; any other place as it is."""
    address = parse_address(place)
    if address is None or address.revision or address.repo != model or not revision:
        return place
    return f"{SCHEME}{model}@{revision}" if place.startswith(SCHEME) or not _is_here(place) else place


def said_to_be(origin: Origin | None, base_model: str) -> Origin:
    """The origin that whoever runs a command names, ORG/NAME or ORG/NAME@COMMIT. Raises RecipeError C064 for another
    form, and where it is known to be another."""
    address = parse_address(base_model)
    if address is None or base_model.startswith(SCHEME):
        message, hint = f"{base_model!r:.200} is no repository of the hub", "write ORG/NAME, or ORG/NAME@COMMIT"
        raise RecipeError("C064", message, hint=hint)
    if origin is not None and (
        origin.repo != address.repo or (address.revision and origin.commit and origin.commit != address.revision)
    ):
        message = f"--base-model says {base_model}, the source is {origin.repo} at {origin.commit or 'no commit'}"
        raise RecipeError("C064", message, hint="leave out --base-model: the origin of this source is known")
    return origin or Origin(address.repo, address.revision, "user")


def _is_here(place: str) -> bool:
    return os.path.lexists(place) or os.path.lexists(place.partition("/")[0])
