"""Floor 1, checkpoint. How a tensor is stored, from dtypes and shapes alone. This module is pure."""

from __future__ import annotations

from dsv4recipe.formats.base import SourceTensor, Stored
from dsv4recipe.headers.safetensors import TensorEntry

PLAIN: dict[str, Stored] = {"BF16": "bf16", "F16": "f16", "F32": "f32", "I64": "int", "I32": "int", "U8": "int"}
PACKED = ("I8", "U8")
"""dtypes of pairs of FP4 codes: tools without signed bytes call the same byte U8."""
TOO_NARROW = ("U8",)
"""Integer dtypes in which no release and no runtime keeps a table of numbers."""
_SCALES = {"F8_E8M0": "", "U8": "", "F32": "F32", "BF16": "BF16"}
"""dtype of a scale → `SourceTensor.scales`: tools without a name for E8M0 call the same byte U8, others write the float
that it means."""
_ROW_TILES = ((1, 128), (1, 32))
"""Tiles of one row, which some tools give matrices that the config speaks of otherwise. A square tile that contradicts
the config is none: then config and shards are of two releases."""


def storage(weight: TensorEntry, scale: TensorEntry | None, tile: tuple[int, ...]) -> SourceTensor | str:
    """Returns how a tensor is stored. The dtype and the scale's shape decide, never the name
    (docs/reference/checkpoint.md). `tile` is the scale tile of this tensor, from the family's table or the config. A
    tile of a single row is accepted, too, if it divides the matrix into exactly these scales.

    Returns the reason as text if the pair fits no known encoding.
    """
    if scale is None:
        if weight.dtype not in PLAIN:
            return f"dtype {weight.dtype} needs a .scale tensor, and there is none"
        return SourceTensor(PLAIN[weight.dtype], weight.shape, weight.dtype)
    if scale.dtype not in _SCALES or len(weight.shape) != 2:
        return f"a weight of shape {list(weight.shape)} cannot have a scale of dtype {scale.dtype}"
    rows, columns = weight.shape
    scales = _SCALES[scale.dtype]
    if weight.dtype in PACKED and scale.shape == (rows, 2 * columns // 32) and 2 * columns % 32 == 0:
        return SourceTensor("fp4", (rows, 2 * columns), "I8", scales=scales)
    if weight.dtype == "F8_E4M3":
        if scale.shape == (-(-rows // tile[0]), -(-columns // tile[1])):
            return SourceTensor("fp8", weight.shape, "F8_E4M3", tile, scales)
        others = [each for each in _ROW_TILES if scale.shape == (rows / each[0], columns / each[1])]
        if len(others) == 1:
            return SourceTensor("fp8", weight.shape, "F8_E4M3", others[0], scales)
    return f"{weight.dtype} {list(weight.shape)} with a scale {list(scale.shape)}{_reason(weight, scale, tile)}"


def _reason(weight: TensorEntry, scale: TensorEntry, tile: tuple[int, ...]) -> str:
    if weight.dtype in PACKED and len(scale.shape) == 2 and 0 < scale.shape[1] < 2 * weight.shape[1]:
        group = 2 * weight.shape[1] / scale.shape[1]
        return f", which is one scale for {group:g} codes: FP4 of this family has one for 32 (NVFP4 has one for 16)"
    if weight.dtype == "F8_E4M3" and len(scale.shape) < 2:
        return f", which is one scale for a row or a matrix: FP8 of this family has one for each tile of {tile}"
    return f" is neither FP4 nor FP8 in {tile} tiles"
