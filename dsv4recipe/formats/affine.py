"""Floor 1, formats. MLX affine quantization: w ≈ q·scale + bias per group of columns of a row.

Source of layout and rule: fact sheet mlx.md 1.3 and 2.1. Pure; the encoder is `formats.encode`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dsv4recipe.formats.base import FLOAT_DTYPES, Part, SourceTensor, divides

BITS = (2, 3, 4, 5, 6, 8)
GROUP_SIZES = (32, 64, 128)


@dataclass(frozen=True, slots=True)
class Affine:
    """`bits` per code, one (scale, bias) per `group_size` columns, both stored as `scales`.

    `scales` is "bfloat16", "float16" or "float32". `fit` names how scale and bias are chosen: "minmax" is the rule
    of `mx.quantize` on the CPU.
    """

    bits: int
    group_size: int
    scales: str
    fit: str = "minmax"

    @property
    def kind(self) -> str:
        return "affine"

    def parts(self, source: SourceTensor) -> tuple[Part, ...]:
        """weight U32 [out, in·bits/32], scales and biases [out, in/group_size]."""
        rows, columns = source.shape
        dtype = FLOAT_DTYPES[self.scales]
        groups = (rows, columns // self.group_size)
        return (
            Part(".weight", "U32", (rows, columns * self.bits // 32)),
            Part(".scales", dtype, groups),
            Part(".biases", dtype, groups),
        )

    def problem(self, source: SourceTensor) -> str:
        return divides(source, self.group_size, "affine")

    def lossless(self, source: SourceTensor) -> bool:  # noqa: ARG002 - minmax is never exact for all data
        return False

    def quantization(self) -> dict[str, Any] | None:
        return {"bits": self.bits, "group_size": self.group_size, "mode": "affine"}

    def spec(self) -> dict[str, Any]:
        parameters = {"bits": self.bits, "group-size": self.group_size, "scales": self.scales, "fit": self.fit}
        return {"affine": parameters}
