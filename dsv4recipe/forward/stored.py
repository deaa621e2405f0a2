"""Floor 4, forward. Decodes the numbers of a bundle as its runtime reads them. Reads the bundle's files.

Offsets come from the bundle's own headers, so bundles of any tool can be measured.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsv4recipe.bundle.manifest import shard_path
from dsv4recipe.bundle.open import open_bundle
from dsv4recipe.bundle.read import BundlePlan, read_bundle
from dsv4recipe.bundle.view import BundleView
from dsv4recipe.checkpoint.graph import Checkpoint, Group
from dsv4recipe.errors import Diagnostic, RecipeError, Where
from dsv4recipe.formats import Part
from dsv4recipe.formats.base import BLOCKS
from dsv4recipe.formats.decode import decode_parts
from dsv4recipe.forward.weights import Array
from dsv4recipe.plan.model import PlannedModule
from dsv4recipe.plan.pieces import Piece, member_pieces
from dsv4recipe.plan.shards import PlacedTensor

_DTYPES = {"U32": np.uint32, "U8": np.uint8, "F32": np.float32, "F16": np.uint16, "BF16": np.uint16,
           "I64": np.int64, "I32": np.int32}  # fmt: skip


Reader = Callable[[Path, int, int], NDArray[np.uint8]]
"""(file of the bundle, offset, bytes) → what stands there."""


class BundleWeights:
    """The modules of a bundle, by the group of the checkpoint that each was made of. `reader` reads a bundle whose
    weights are elsewhere."""

    def __init__(self, root: Path, checkpoint: Checkpoint, reader: Reader | None = None) -> None:
        self.reader = reader or _from_file
        self.read: BundlePlan = read_bundle(root)
        self.view: BundleView = open_bundle(root)[0]
        self.root = root
        self.modules = {module.sources: module for module in self.read.plan.modules}
        found = list(_findings(self.read, self.view, self.modules, checkpoint))
        if found:
            raise RecipeError.of(found)

    @property
    def title(self) -> str:
        return self.root.name

    def tensor(self, group: Group, number: int = 0) -> Array:
        parts = [self._decoded(piece, files) for piece, files in self._pieces(group, number)]
        out = parts[0] if len(parts) == 1 else np.concatenate(parts)
        out = out.reshape(group.source.shape)
        return out.astype(np.int64) if group.source.stored == "int" else out

    def rows(self, group: Group, wanted: Array) -> Array:
        out = np.empty((len(wanted), group.source.shape[-1]), np.float32)
        for piece, files in self._pieces(group, 0):
            inside = np.flatnonzero((wanted >= piece.first_row) & (wanted < piece.first_row + piece.source.shape[0]))
            if len(inside):
                out[inside] = self._decoded(piece, files)[wanted[inside] - piece.first_row]
        return out

    def differs(self, group: Group) -> bool:
        return not self.modules[group.names].lossless

    def _pieces(self, group: Group, number: int) -> Iterator[tuple[Piece, tuple[Path, ...]]]:
        module = self.modules[group.names]
        stem = module.stems[number if module.per_expert else 0]
        held = self.view.tensors[stem]
        placed = [
            PlacedTensor(stem + part.suffix, module, part, number, held[part.suffix].start)
            for part in module.parts
            if part.fill is None
        ]
        files = tuple(shard_path(self.root, self.view.shard_of[tensor.name]) for tensor in placed)
        return ((piece, files) for piece in member_pieces(group.members[number], module, placed, number))

    def _decoded(self, piece: Piece, files: tuple[Path, ...]) -> Array:
        parts = piece.format.parts(piece.source)
        stored = [_part(self.reader, *each) for each in zip(files, parts, piece.offsets, strict=True)]
        return decode_parts(piece.format, piece.source, stored)


def _findings(
    read: BundlePlan, view: BundleView, modules: dict[str, PlannedModule], checkpoint: Checkpoint
) -> Iterator[Diagnostic]:
    """Yields M012 for a bundle of another checkpoint, and M013 for a module that cannot be decoded."""
    where = Where(str(view.root))
    hint = "pass the checkpoint that the bundle was built from as --source"
    if read.built and read.plan.source.header_digest != checkpoint.folder.header_digest:
        message = f"{view.root.name} was built from another checkpoint than {checkpoint.folder.place} (headers differ)"
        yield Diagnostic("M012", message, where, hint)
        return
    main = [group for group in checkpoint.groups if group.slot.block == "main"]
    odd = [g.names for g in main if g.names not in modules or modules[g.names].shape != g.shape]
    if odd:
        message = f"{len(odd):,} tensors of {checkpoint.folder.place} are not in this bundle in that shape"
        yield Diagnostic("M012", f"{message}, such as {odd[0]}", where, hint)
        return
    for group in main:
        module = modules[group.names]
        if module.format.kind.startswith("unrecognised"):
            yield Diagnostic("M013", f"{module.disk}: {module.format.kind}", where, "measure another bundle")
            continue
        for stem in module.stems:
            for part in module.parts:
                entry = view.tensors.get(stem, {}).get(part.suffix)
                if entry is None or (entry.dtype, entry.shape) != (part.dtype, part.shape):
                    message = f"{stem + part.suffix} is not stored as planned"
                    yield Diagnostic("M013", message, where, "build the bundle again")


def _from_file(path: Path, offset: int, size: int) -> NDArray[np.uint8]:
    try:
        with path.open("rb") as stream:
            stream.seek(offset)
            return np.fromfile(stream, np.uint8, size)
    except OSError as error:
        raise RecipeError("M010", f"{path.name} cannot be read: {error.strerror}", Where(str(path))) from None


def _part(reader: Reader, path: Path, part: Part, offset: int) -> NDArray[Any]:
    raw = reader(path, offset, part.nbytes)
    if raw.nbytes != part.nbytes:
        raise RecipeError("M010", f"{path.name} ends too early", Where(str(path)), "copy or build the bundle again")
    if part.dtype in BLOCKS:
        return raw.reshape(part.shape[0], -1)
    values = raw.view(_DTYPES[part.dtype]) if part.dtype in _DTYPES else raw
    return values.reshape(part.shape) if values.size == math.prod(part.shape) else values
