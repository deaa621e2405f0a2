"""Floor 4, verifier. Checks that expert and token numbers are in range. Reads the tables that hold them.

A table of a release has about six million bytes. A gather with a number beyond its range reads foreign memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from dsv4recipe.bundle.view import BundleView
from dsv4recipe.checkpoint.dims import Dims
from dsv4recipe.checkpoint.family import Slot
from dsv4recipe.errors import Diagnostic, Where
from dsv4recipe.formats.decode import INTEGERS
from dsv4recipe.formats.indices import first_outside
from dsv4recipe.headers.safetensors import TensorEntry
from dsv4recipe.runtimes import Target
from dsv4recipe.runtimes.common.side_files import beyond
from dsv4recipe.verifier.contract.picture import Picture


def numbers_in_range(view: BundleView, picture: Picture, target: Target) -> Iterator[Diagnostic]:
    """Yields V111 for every integer table, in a folder of shards, with a number out of range."""
    for module in picture.modules.values():
        if not module.slot.below(picture.dims):
            continue
        for stem, parts in module.stems.items():
            for suffix, entry in parts.items():
                file = view.root / view.shard_of[stem + suffix]
                yield from outside(file, stem + suffix, entry, module.slot, picture.dims)


def tokens_in_range(view: BundleView, picture: Picture, target: Target) -> Iterator[Diagnostic]:
    """Yields V112 for tokens of tokenizer.json whose ids are beyond the embedding."""
    rows = picture.dims.vocab
    odd = beyond(view.json.get("tokenizer.json", {}), rows)
    if odd:
        token, number = odd[0]
        message = (
            f"{len(odd):,} token ids are beyond the {rows:,} embedding rows; the first is {token!r:.80} with {number:,}"
        )
        hint = "use the tokenizer.json of the source, or remove the tokens that were added to it"
        yield Diagnostic("V112", message, Where(str(view.root / "tokenizer.json")), hint)


def outside(file: Path, name: str, entry: TensorEntry, slot: Slot, dims: Dims) -> Iterator[Diagnostic]:
    """Yields V111 for the first number of a tensor that is out of range. Other dtypes are reported by another law."""
    if entry.dtype not in INTEGERS or not entry.shape:
        return
    below = slot.below(dims)
    try:
        with file.open("rb") as stream:
            stream.seek(entry.start)
            raw = np.frombuffer(stream.read(entry.nbytes), np.uint8)
    except OSError:
        return  # the integrity step reports files that cannot be read
    if raw.size != entry.nbytes:
        return
    position, value = first_outside(raw, entry.dtype, below)
    if position >= 0:
        row, column = divmod(position, entry.shape[-1])
        message = (
            f"{name}: row {row}, column {column} holds {value}, but there are only {below:,} {slot.row.indexes} "
            f"(0 to {below - 1:,})"
        )
        hint = "renumber the table of the source as its experts were renumbered, then build again"
        yield Diagnostic("V111", message, Where(str(file), subject=name), hint)
