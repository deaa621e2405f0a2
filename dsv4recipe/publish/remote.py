"""Floor 4, publish. Mirrors a bundle on the hub as a folder of the same names and sizes, with holes for its weights.

Headers are read by ranges and small files whole. Everything that reads headers works on such a folder as on a bundle.
It lies in a temporary folder until this process ends. Reads the hub.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dsv4recipe.bundle.places import NAME
from dsv4recipe.errors import Diagnostic, RecipeError, Where
from dsv4recipe.headers.safe_path import path_problem, unsafe
from dsv4recipe.headers.safetensors import header_length
from dsv4recipe.hub.address import SCHEME, Address, parse_address
from dsv4recipe.hub.repository import Repository, open_repository

_SMALL = 64 << 20
_CONNECTIONS = 8
_open: dict[str, Mirror] = {}


@dataclass(frozen=True, slots=True)
class Mirror:
    """The folder, and the repository at its commit."""

    root: Path
    repository: Repository

    @property
    def digests(self) -> dict[str, tuple[int, str]]:
        """Returns size and sha256 of the files in the hub's storage, from its own list of the commit."""
        return {name: (file.size, file.sha256) for name, file in self.repository.files.items() if file.sha256}

    def read(self, path: Path, offset: int, size: int) -> NDArray[np.uint8]:
        """Returns bytes of a file of the folder from the hub, by a range. Raises HubError H002 to H009."""
        name = path.relative_to(self.root).as_posix()
        return np.frombuffer(self.repository.read(name, offset, offset + size), np.uint8)

    def named(self, findings: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
        """Returns the findings with the hub's address in place of the folder."""
        here, there = str(self.root), str(self.repository.address)
        return tuple(
            replace(each, where=replace(each.where, file=each.where.file.replace(here, there))) for each in findings
        )


def address_of(name: object) -> Address | None:
    """Returns the address that `name` is, also for a Path, which turns hf:// into hf:/, or None if it is not one.

    Raises RecipeError H001 for an invalid address.
    """
    text = str(name)
    if text.startswith("hf:/") and not text.startswith(SCHEME):
        text = SCHEME + text.removeprefix("hf:/")
    return parse_address(text) if text.startswith(SCHEME) else None


def mirror(address: Address) -> Mirror:
    """Returns the bundle at `address`, at its present commit; each is opened once. Raises HubError H002 to H009,
    RecipeError V020 if it holds no bundle, and C0xx for an unsafe name or a shard without a header."""
    if str(address) not in _open:
        repository = open_repository(address)
        if not _holds_bundle(repository):
            message = "the repository holds a checkpoint or something else, but no bundle"
            raise RecipeError("V020", message, Where(str(address)), "pass a checkpoint with --source")
        kept = tempfile.mkdtemp(prefix="dsv4recipe-hub-")
        atexit.register(shutil.rmtree, kept, ignore_errors=True)
        root = Path(kept, repository.address.repo)
        names = sorted(repository.files)
        for name in names:
            problem = path_problem(name)
            if problem:
                raise unsafe(name, problem, str(address))
        with ThreadPoolExecutor(_CONNECTIONS, thread_name_prefix="headers") as pool:
            list(pool.map(lambda name: _file(repository, name, root / name), names))
        _open[str(address)] = Mirror(root, repository)
    return _open[str(address)]


def _file(repository: Repository, name: str, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    size = repository.files[name].size
    with path.open("wb") as file:
        if name.endswith(".safetensors"):
            first = repository.read(name, 0, min(8, size))
            file.write(first + repository.read(name, 8, 8 + header_length(first, size, name)))
        elif 0 < size <= _SMALL:
            file.write(repository.whole(name))
        file.truncate(size)


def _holds_bundle(repository: Repository) -> bool:
    """Returns whether it is a bundle of any tool, by its files and the entry of config.json that only bundles have."""
    files = repository.files
    if NAME in files or "jang_config.json" in files:
        return True
    config = files.get("config.json")
    return config is not None and config.size <= _SMALL and b'"quantization"' in repository.whole("config.json")


def holds_bundle(address: Address) -> bool:
    """Returns whether the repository holds a bundle and not a source checkpoint. Raises HubError H002 to H009."""
    return str(address) in _open or _holds_bundle(open_repository(address))
