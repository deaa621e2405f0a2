"""Floor 4, verifier. Laws of the contract on numbers of experts and tokens: what they number is there. Reads them.

A table of a release has some six million bytes; a gather with a number beyond its range reads foreign memory.
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
    """Yields every table of numbers in a folder of shards."""
    for module in picture.modules.values():
        if not module.slot.below(picture.dims):
            continue
        for stem, parts in module.stems.items():
            for suffix, entry in parts.items():
                file = view.root / view.shard_of[stem + suffix]
                yield from outside(file, stem + suffix, entry, module.slot, picture.dims)


def tokens_in_range(view: BundleView, picture: Picture, target: Target) -> Iterator[Diagnostic]:
    """Every token of tokenizer.json is a row of the embedding."""
    rows = picture.dims.vocab
    odd = beyond(view.json.get("tokenizer.json", {}), rows)
    if odd:
        token, number = odd[0]
        message = (
            f"{len(odd):,} tokens have ids beyond the {rows:,} rows of the embedding, first {token!r:.80} {number:,}"
        )
        hint = "put the tokenizer.json of the source in place, or remove the tokens that were added to it"
        yield Diagnostic("V112", message, Where(str(view.root / "tokenizer.json")), hint)


def outside(file: Path, name: str, entry: TensorEntry, slot: Slot, dims: Dims) -> Iterator[Diagnostic]:
    """V111 for the first number of a tensor that numbers what is not there. Other dtypes are another law's finding."""
    if entry.dtype not in INTEGERS or not entry.shape:
        return
    below = slot.below(dims)
    try:
        with file.open("rb") as stream:
            stream.seek(entry.start)
            raw = np.frombuffer(stream.read(entry.nbytes), np.uint8)
    except OSError:
        return  # integrity names files that cannot be read
    if raw.size != entry.nbytes:
        return
    position, value = first_outside(raw, entry.dtype, below)
    if position >= 0:
        row, column = divmod(position, entry.shape[-1])
        message = (
            f"{name}: row {row}, column {column} holds {value}; there are {below:,} {slot.row.indexes} "
            f"(0 to {below - 1:,})"
        )
        hint = "renumber the table of the source as its experts were renumbered, then build again"
        yield Diagnostic("V111", message, Where(str(file), subject=name), hint)
