"""Floor 3, plan. Derives the checkpoint that a config.json requires, for when only the bundle is there.

This module is pure. Storage is taken from the family's table (how releases store each tensor today). There are no files
and no headers.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dsv4recipe.checkpoint.family import ExpectedTensor
from dsv4recipe.checkpoint.folder import Folder
from dsv4recipe.checkpoint.graph import Checkpoint, Group, Tensor, detect_family
from dsv4recipe.checkpoint.source import FolderSource
from dsv4recipe.formats import SourceTensor
from dsv4recipe.headers.safetensors import TensorEntry

_DTYPES = {"fp4": "I8", "fp8": "F8_E4M3", "bf16": "BF16", "f16": "F16", "f32": "F32", "int": "I64"}
_NOWHERE = TensorEntry("", "", (), 0, 0)


def expected_checkpoint(
    config: Mapping[str, Any], file: str, documents: Mapping[str, dict[str, Any]] | None = None
) -> Checkpoint:
    """Returns the checkpoint of a config.json, which `file` names in messages. Its digests and files are empty.
    `documents` are JSON files that stand for those beside the shards.

    Raises RecipeError C011 (unknown family) or C010 (missing or invalid keys).
    """
    family = detect_family(dict(config), file)
    dims = family.dims_of(dict(config), file)
    members: dict[str, list[Tensor]] = {}
    for expected in family.expected(dims):
        tensor = Tensor(expected.name, expected.slot, _source(expected), "", _NOWHERE, "", None)
        members.setdefault(expected.slot.stem, []).append(tensor)
    groups = tuple(Group(stem, each[0].slot, each[0].source, tuple(each)) for stem, each in members.items())
    return Checkpoint(
        Folder(FolderSource(Path(file).parent), dict(config), "", (), documents or {}), family, dims, groups
    )


def _source(expected: ExpectedTensor) -> SourceTensor:
    return SourceTensor(expected.stored, expected.shape, _DTYPES[expected.stored], expected.tile)
