"""Floor 1, formats. mxfp8 (OCP microscaling): an exact copy of the source's own FP8 codes, scales repeated.

Source of layout: fact sheet mlx.md 2.3. Pure; the encoder is in `formats.encode`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dsv4recipe.formats.base import Part, SourceTensor, divides


@dataclass(frozen=True, slots=True)
class Mxfp8:
    """FP8 E4M3 codes, one E8M0 scale per 32 columns of a row. From an FP8 source the codes are copied and each
    tile's scale is repeated over its rows and column groups."""

    @property
    def kind(self) -> str:
        return "mxfp8"

    def parts(self, source: SourceTensor) -> tuple[Part, ...]:
        """weight U32 [out, in/4], scales U8 [out, in/32], no biases."""
        rows, columns = source.shape
        return (Part(".weight", "U32", (rows, columns // 4)), Part(".scales", "U8", (rows, columns // 32)))

    def problem(self, source: SourceTensor) -> str:
        if source.stored != "fp8":
            return f"mxfp8 is a copy of FP8 source bits, the tensor is stored as {source.stored}"
        if len(source.tile) != 2 or source.tile[1] % 32:
            return f"mxfp8 needs scale tiles of a multiple of 32 columns, the source has {list(source.tile)}"
        return divides(source, 32, "mxfp8")

    def lossless(self, source: SourceTensor) -> bool:
        return source.stored == "fp8"

    def quantization(self) -> dict[str, Any] | None:
        return {"bits": 8, "group_size": 32, "mode": "mxfp8"}

    def spec(self) -> dict[str, Any]:
        return {"mxfp8": {}}
