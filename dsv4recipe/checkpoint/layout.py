"""Floor 1, checkpoint. Derives the headers of a release from the family's table, without its files. This module is
pure.

`plan`, `diff`, `explain` and `check` need only names, shapes and dtypes, and these follow from a release's config.json.
The headers are those that `synth --preset full --headers-only` writes. `layouts.json` keeps their lengths and digests,
so that no header has to be written and parsed again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from dsv4recipe.checkpoint.folder import MAX_CONFIG, Folder
from dsv4recipe.checkpoint.graph import Checkpoint, detect_family, make_checkpoint
from dsv4recipe.checkpoint.releases import RELEASES
from dsv4recipe.checkpoint.source import Origin
from dsv4recipe.checkpoint.synth import Piece, shard_pieces
from dsv4recipe.checkpoint.synth_files import side_files
from dsv4recipe.errors import RecipeError, did_you_mean
from dsv4recipe.headers.safetensors import Header, TensorEntry
from dsv4recipe.headers.strict_json import TooLargeError, object_from

LAYOUTS = Path(__file__).with_name("layouts.json")
"""Maps release → shard file → [bytes before the data, sha256 of them]. A test computes it again and compares."""


def open_release(name: str) -> Checkpoint:
    """Returns the checkpoint of a release ("v4-flash") without weights. Raises RecipeError C051 if it is unknown."""
    if name not in RELEASES:
        raise RecipeError("C051", f'the release "{name}" is unknown', hint=did_you_mean(name, RELEASES))
    source = LayoutSource(name)
    config, digest = object_from(lambda: source.small("config.json", MAX_CONFIG), "config.json", "C002")
    return make_checkpoint(Folder(source, config, digest, tuple(source.shards.values())))


def release_of(model: str, revision: str) -> str:
    """Returns the name of the release with this repository and commit, or "" if this version does not know it."""
    return next((name for name, known in RELEASES.items() if (known.model, known.revision) == (model, revision)), "")


@dataclass(frozen=True)
class LayoutSource:
    """The source of a release that has no files: small files and headers are computed, and weights cannot be read."""

    release: str
    origin: Origin | None = None

    @property
    def real(self) -> bool:
        return False

    @property
    def place(self) -> str:
        return f"the layout of {self.release}"

    @cached_property
    def config(self) -> dict[str, Any]:
        return RELEASES[self.release].full_config()

    @cached_property
    def shards(self) -> dict[str, Header]:
        """Returns the header of each shard by file name, in order."""
        family = detect_family(self.config, "config.json")
        pieces = shard_pieces(family, family.dims_of(self.config, "config.json"))
        known = _layouts()[self.release].items()
        return {name: _header(name, some, *head) for (name, head), some in zip(known, pieces, strict=True)}

    @cached_property
    def texts(self) -> dict[str, str]:
        """Returns the content of every file that is not a shard."""
        names = {entry.name: name for name, header in self.shards.items() for entry in header.tensors}
        total = sum(header.size - header.data_start for header in self.shards.values())
        index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(names.items()))}
        return side_files(self.config, index, True)

    def names(self) -> Sequence[str]:
        return sorted({name.partition("/")[0] for name in self.tree()})

    def tree(self) -> Sequence[str]:
        return sorted((*self.texts, *self.shards))

    def holds(self, name: str, named_by: str) -> bool:  # noqa: ARG002 - the protocol's signature
        return name in self.texts or name in self.shards

    def small(self, name: str, limit: int) -> bytes:
        if name == "config.json":  # every plan reads this file; the others take a while to compute
            content = (json.dumps(self.config, indent=2, ensure_ascii=False) + "\n").encode()
        elif name in self.texts:
            content = self.texts[name].encode()
        else:
            raise FileNotFoundError(2, "the layout of a release has no such file", name)
        if len(content) > limit:
            raise TooLargeError(limit)
        return content

    def headers(self, names: Sequence[str], named_by: str) -> Iterator[Header | RecipeError]:  # noqa: ARG002
        return (self.shards[name] for name in names)

    def read(self, name: str, start: int, end: int) -> bytes:  # noqa: ARG002 - the protocol's signature
        raise OSError("the layout of a release has no weights; pass the checkpoint with --source")


@cache
def _layouts() -> dict[str, dict[str, tuple[int, str]]]:
    found: dict[str, dict[str, tuple[int, str]]] = json.loads(LAYOUTS.read_text(encoding="utf-8"))
    return found


def _header(file: str, pieces: Sequence[Piece], data_start: int, digest: str) -> Header:
    """Returns the header of a shard that holds `pieces` one after the other."""
    entries, end = [], data_start
    for piece in pieces:
        start, end = end, end + piece.nbytes
        entries.append(TensorEntry(piece.name, piece.dtype, piece.shape, start, end))
    return Header(file, end, digest, data_start, tuple(entries), ())
