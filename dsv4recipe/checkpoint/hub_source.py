"""Floor 1, checkpoint. Reads a checkpoint on the hub: headers by byte ranges, small files whole. Uses the hub's cache.

If the hub's cache holds the whole repository, it is read there. No byte after a header is requested.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import constants, snapshot_download, try_to_load_from_cache

from dsv4recipe.checkpoint.source import FolderSource, Origin, Source
from dsv4recipe.errors import Diagnostic, RecipeError
from dsv4recipe.headers.safe_path import path_problem, unsafe
from dsv4recipe.headers.safetensors import Header, header_length, parse_header
from dsv4recipe.headers.strict_json import TooLargeError
from dsv4recipe.hub.address import SCHEME, Address
from dsv4recipe.hub.error import HubError
from dsv4recipe.hub.failures import refusal
from dsv4recipe.hub.repository import Repository, open_repository
from dsv4recipe.paths import left_by_tools

_CONNECTIONS = 8


@dataclass(frozen=True, slots=True)
class HubSource:
    """The source that is one commit of a repository on the hub."""

    repository: Repository

    @property
    def place(self) -> str:
        return str(self.repository.address)

    @property
    def origin(self) -> Origin:
        return Origin(self.repository.address.repo, self.repository.commit)

    @property
    def real(self) -> bool:
        return True

    def names(self) -> Sequence[str]:
        return sorted({name.partition("/")[0] for name in self.repository.files})

    def tree(self) -> Sequence[str]:
        return sorted(name for name in self.repository.files if not left_by_tools(name))

    def holds(self, name: str, named_by: str) -> bool:
        problem = path_problem(name)
        if problem:
            raise unsafe(name, problem, named_by)
        return name in self.repository.files

    def small(self, name: str, limit: int) -> bytes:
        if not self.holds(name, self.place):
            raise FileNotFoundError(name)
        if self.repository.files[name].size > limit:
            raise TooLargeError(limit)
        return self.repository.whole(name)

    def headers(self, names: Sequence[str], named_by: str) -> Iterator[Header | RecipeError]:
        def header(name: str) -> Header | RecipeError:
            try:
                self.holds(name, named_by)
                return self._header(name)
            except HubError:
                raise
            except RecipeError as error:
                return error

        with ThreadPoolExecutor(_CONNECTIONS, thread_name_prefix="headers") as pool:
            yield from pool.map(header, names)

    def read(self, name: str, start: int, end: int) -> bytes:
        return self.repository.read(name, start, end)

    def _header(self, name: str) -> Header:
        """Reads two ranges: the 8 bytes that give the length of the header, then exactly the header."""
        size = self.repository.files[name].size
        first = self.repository.read(name, 0, min(8, size))
        length = header_length(first, size, name)
        return parse_header(first + self.repository.read(name, 8, 8 + length), size, name)


def open_hub(address: Address, typed: str) -> Source:
    """Returns the source at an address. Its revision is resolved to a commit once; in offline mode the snapshot in the
    cache is used.

    Raises RecipeError H002-H009. If `typed` only looks like an address, the message says what else it may be.
    """
    try:
        return _snapshot(address) if constants.is_offline_mode() else _online(address)
    except HubError as error:
        if typed.startswith(SCHEME):
            raise
        note = f"there is no folder {typed}, so it was read as the name of a repository on the hub"
        raise HubError.of(_with_note(found, note) for found in error.diagnostics) from None


def _with_note(found: Diagnostic, note: str) -> Diagnostic:
    return Diagnostic(found.code, found.message, found.where, found.hint, found.severity, (*found.notes, note))


def _online(address: Address) -> Source:
    repository = open_repository(address)
    cached = [
        try_to_load_from_cache(repository.address.repo, file.name, revision=repository.commit)
        for file in repository.files.values()
    ]
    whole = [
        isinstance(path, str) and Path(path).stat().st_size == file.size
        for path, file in zip(cached, repository.files.values(), strict=True)
    ]
    if not whole or not all(whole):
        return HubSource(repository)
    return _snapshot(repository.address)


def _snapshot(address: Address) -> FolderSource:
    """Returns the snapshot of a repository in the hub's cache, without using the network."""
    try:
        root = Path(snapshot_download(address.repo, revision=address.revision or None, local_files_only=True))
    except OSError as error:
        raise refusal(error, address, "reading the cache") from None
    return FolderSource(root, Origin(address.repo, root.name))
