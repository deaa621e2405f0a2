"""Floor 4, files. Reads a source that is not on this machine: downloads ahead of the build, discards behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from dsv4recipe.checkpoint.source import FolderSource, Source
from dsv4recipe.errors import Problems, Where
from dsv4recipe.files.sources import Reader, Sources
from dsv4recipe.hub.scratch import Scratch
from dsv4recipe.plan.pieces import Piece, Span

if TYPE_CHECKING:
    from dsv4recipe.hub.repository import Repository
    from dsv4recipe.hub.stream import Stream

Order = Callable[[bool], Iterable[Piece]]
"""Yields pieces in the order in which they will be read: that of the bundle or, if True, of the source."""


def open_sources(
    source: Source,
    pieces: Order,
    scratch: Scratch,
    sha256: Mapping[str, str] | None = None,
    downloaded: Callable[[str, int], None] = lambda file, size: None,
    in_order: bool = False,
) -> Reader:
    """Returns what a build or a proof reads from: the folder, or the hub through `scratch`. The result's `by_source`
    says in which order. It is that of the bundle if the scratch holds whole files, or if `in_order` asks for it.

    `sha256` maps file names to the digests that they must have. Raises RecipeError H010 (scratch too small), B006.
    """
    if isinstance(source, FolderSource):
        return Sources(source.root, sha256)
    from dsv4recipe.checkpoint.hub_source import HubSource
    from dsv4recipe.hub.stream import Stream
    from dsv4recipe.hub.units import room_for_files

    assert isinstance(source, HubSource)
    _check_sums(source.repository, sha256 or {})
    repository = source.repository
    whole = room_for_files((piece.reads for piece in pieces(False)), repository.sizes)
    by_source = not (in_order or 0 < whole <= scratch.limit)
    stream = Stream(repository, (piece.reads for piece in pieces(by_source)), scratch, downloaded)
    return Streamed(stream, by_source, whole)


class Streamed:
    """A stream of downloads as a build reads it."""

    def __init__(self, stream: Stream, by_source: bool, whole: int):
        self.stream = stream
        self.by_source = by_source
        self.whole = whole

    @property
    def room(self) -> int:
        return self.stream.room

    @property
    def facts(self) -> dict[str, Any]:
        """Returns the bytes to download, the bytes of scratch, and the scratch size from which it holds whole files,
        whose digests are checked (0 if most of their bytes are not needed)."""
        total = sum(unit.end - unit.start for unit in self.stream.units)
        return {"download": {"bytes": total, "scratch": self.room, "whole_files": self.whole}}

    def __enter__(self) -> Streamed:
        self.stream.__enter__()
        return self

    def __exit__(self, *what: object) -> None:
        self.stream.__exit__(*what)

    def read(self, span: Span, into: memoryview) -> None:
        self.stream.read(span.file, span.start, into)

    def stop(self) -> None:
        self.stream.stop()

    def check_unchanged(self) -> None:
        """Does nothing, because a commit does not change."""


def _check_sums(repository: Repository, sha256: Mapping[str, str]) -> None:
    """Raises RecipeError B006 for every file that the commit lists with another digest."""
    problems = Problems()
    for name, wanted in sha256.items():
        found = repository.files[name].sha256
        if found != wanted:
            message = (
                f"{name} is not the file that was locked: its sha256 is {found[:16]}…, but the lock has {wanted[:16]}…"
            )
            problems.error("B006", message, Where(str(repository.address)), "pass the commit that was locked")
    problems.raise_if_any()
