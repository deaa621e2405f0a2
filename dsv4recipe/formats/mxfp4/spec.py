"""Floor 1, formats. mxfp4 (OCP microscaling): an exact copy of the source's own FP4 codes and scales.

Source of layout: fact sheet mlx.md 2.2. Pure; the encoder is in `formats.encode`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dsv4recipe.formats.base import Part, SourceTensor, divides


@dataclass(frozen=True, slots=True)
class Mxfp4:
    """FP4 E2M1 codes, one E8M0 scale per 32 columns. From an FP4 source the bytes are copied."""

    @property
    def kind(self) -> str:
        return "mxfp4"

    def parts(self, source: SourceTensor) -> tuple[Part, ...]:
        """weight U32 [out, in/8], scales U8 [out, in/32], no biases."""
        rows, columns = source.shape
        return (Part(".weight", "U32", (rows, columns // 8)), Part(".scales", "U8", (rows, columns // 32)))

    def problem(self, source: SourceTensor) -> str:
        if source.stored != "fp4":
            return f"mxfp4 is a copy of FP4 source bits, the tensor is stored as {source.stored}"
        return divides(source, 32, "mxfp4")

    def lossless(self, source: SourceTensor) -> bool:
        return source.stored == "fp4"

    def quantization(self) -> dict[str, Any] | None:
        return {"bits": 4, "group_size": 32, "mode": "mxfp4"}

    def spec(self) -> dict[str, Any]:
        return {"mxfp4": {}}
