"""Floor 1, checkpoint. Reads a checkpoint as frozen data: config.json, the index and the headers, but no weights.

It opens only those files, and never a pickle or code. The order of the folder listing does not matter. Every problem
of the folder is collected, and all are reported at once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from dsv4recipe.checkpoint.downloads import in_one_line
from dsv4recipe.checkpoint.folder_check import check_names, check_weight_map
from dsv4recipe.checkpoint.listing import INDEX, Listing, list_shards, without_index
from dsv4recipe.checkpoint.open import open_source
from dsv4recipe.checkpoint.other_things import refuse_pointers, refuse_quantized
from dsv4recipe.checkpoint.overlay import refuse_stale, settled
from dsv4recipe.checkpoint.source import FolderSource, Origin, Source
from dsv4recipe.errors import Diagnostic, Problems, RecipeError, Where
from dsv4recipe.headers.safetensors import Header, TensorEntry
from dsv4recipe.headers.strict_json import TooLargeError, object_from, reason
from dsv4recipe.hub.address import SCHEME
from dsv4recipe.hub.error import HubError

MAX_CONFIG = 1_000_000
MAX_DOCUMENT = 64 << 20
"""The largest tokenizer.json that is read, in bytes."""


@dataclass(frozen=True)
class Folder:
    """Holds a checkpoint: its config.json and the headers of its files, sorted by name.

    `config_digest` is the sha256 of the bytes of config.json. `header_digest` is the sha256 of the sorted lines
    "<file> <header digest>", so it changes with any name, dtype, shape, offset or file name. `origin` is the repository
    that the checkpoint comes from, as the source knows it or as the user says. `notes` are warnings about how the
    checkpoint was read. A header lists only the tensors that are used.
    """

    source: Source
    config: dict[str, Any]
    config_digest: str
    files: tuple[Header, ...]
    documents: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    origin: Origin | None = None
    notes: tuple[Diagnostic, ...] = ()

    def __post_init__(self) -> None:
        if self.origin is None:
            object.__setattr__(self, "origin", self.source.origin)

    def document(self, name: str) -> dict[str, Any]:
        """Returns a JSON file that lies beside the shards, reading it on demand if it is not among `documents`. Raises
        RecipeError C063."""
        if name in self.documents:
            return self.documents[name]
        return object_from(lambda: self.source.small(name, MAX_DOCUMENT), name, "C063")[0]

    def text(self, name: str) -> str:
        """Returns a small file beside the shards as text, read once. Raises RecipeError C063 if that fails."""
        if name not in self._texts:
            try:
                self._texts[name] = self.source.small(name, MAX_DOCUMENT).decode("utf-8", "replace")
            except TooLargeError:
                message = f"{name} is larger than {MAX_DOCUMENT:,} bytes"
                raise RecipeError(
                    "C063", message, Where(name), "check that the file belongs to this checkpoint"
                ) from None
            except OSError as error:
                message = f"{name} cannot be read: {reason(error)}"
                raise RecipeError("C063", message, Where(name), "download this file again") from None
        return self._texts[name]

    @cached_property
    def _texts(self) -> dict[str, str]:
        return {}

    @property
    def place(self) -> str:
        """Returns the place as messages print it: the folder, or hf://org/repo@commit."""
        return self.source.place

    @property
    def root(self) -> Path:
        """Returns the folder, for callers that need files on this machine. Raises RecipeError H012 if there is none."""
        if isinstance(self.source, FolderSource):
            return self.source.root
        message = "this command needs the checkpoint's files on this machine"
        hint = f"`hf download {self.source.place.removeprefix(SCHEME).replace('@', ' --revision ')}`, then try again"
        raise RecipeError("H012", message, Where(self.source.place), hint)

    @cached_property
    def header_digest(self) -> str:
        lines = sorted(f"{header.file} {header.digest}\n" for header in self.files)
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    @cached_property
    def by_name(self) -> dict[str, tuple[Header, TensorEntry]]:
        """Returns where each tensor is, ordered by file and, within a file, by offset."""
        return {entry.name: (header, entry) for header in self.files for entry in header.tensors}

    @property
    def tensors(self) -> int:
        """Returns the number of tensors as stored (a weight and its scale are two)."""
        return sum(len(header.tensors) for header in self.files)

    @property
    def bytes(self) -> int:
        """Returns the bytes of all tensors, without headers."""
        return sum(entry.end - entry.start for header in self.files for entry in header.tensors)

    def where(self, name: str) -> tuple[Header, TensorEntry]:
        """Returns the file and place of a stored tensor. Raises KeyError if the folder does not hold that name."""
        return self.by_name[name]


def open_folder(place: Path | str, beside: frozenset[str] = frozenset()) -> Folder:
    """Opens a checkpoint, on this machine or on the hub, by reading only its headers.

    With model.safetensors.index.json, the checkpoint is exactly the shards that the index names, and each tensor must
    be where it says; a second copy in another shard is noted and not used. Without an index, it is one safetensors file
    or one complete numbered set. `beside` names safetensors files that may lie in the folder without belonging to the
    checkpoint. Raises RecipeError with every problem found: C001-C009 and C040-C048 (docs/errors/C.md), C068 for an
    index that does not belong to the files, and whatever `open_source` raises.
    """
    source = open_source(place)
    if isinstance(source, FolderSource):
        refuse_pointers(source.root)
    problems = Problems()
    config: dict[str, Any] = {}
    digest = ""
    try:
        config, digest = object_from(lambda: source.small("config.json", MAX_CONFIG), "config.json", "C002")
    except HubError:
        raise
    except RecipeError as error:
        problems.found += error.diagnostics
    refuse_quantized(config, source.place, _names(source))
    listing = list_shards(source, beside, problems)
    headers = _headers(source, listing, problems)
    notes: tuple[Diagnostic, ...] = ()
    if listing.weight_map is not None:
        headers, notes = settled(listing.weight_map, headers, source.place)
        check_weight_map(listing.weight_map, headers, problems)
    check_names(headers, problems)
    if problems.found and {each.code for each in problems.found} <= {"C006", "C007", "C008"}:
        _check_stale(source, listing)
    in_one_line(source, listing.wanted, problems)
    problems.raise_if_any()
    return Folder(source, config, digest, headers, notes=notes)


def _names(source: Source) -> Sequence[str]:
    """Returns the names at the top of a source; none where it cannot be listed, which is a finding of the listing."""
    try:
        return source.names()
    except OSError:
        return ()


def _check_stale(source: Source, listing: Listing) -> None:
    """Raises RecipeError C068 where what is wrong is the index alone."""
    problems = Problems()
    whole = without_index(source.place, listing.present, problems)
    headers = _headers(source, whole, problems) if not problems.found else ()
    if not problems.found and listing.weight_map is not None:
        refuse_stale(listing.weight_map, headers, source.place)


def _headers(source: Source, listing: Listing, problems: Problems) -> tuple[Header, ...]:
    named_by = INDEX if listing.weight_map is not None else source.place
    headers = []
    for found in source.headers(listing.shards, named_by):
        if isinstance(found, RecipeError):
            problems.found += found.diagnostics
        else:
            headers.append(found)
    return tuple(headers)
