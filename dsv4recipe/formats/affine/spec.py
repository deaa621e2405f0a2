"""Floor 1, formats. MLX affine quantization: w ≈ q·scale + bias per group of columns of a row.

Source of layout and rule: fact sheet mlx.md 1.3 and 2.1. Pure; the encoder is `formats.encode`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dsv4recipe.formats.base import FLOAT_DTYPES, Part, SourceTensor, divides

BITS = (2, 3, 4, 5, 6, 8)
GROUP_SIZES = (32, 64, 128)
FITS = ("minmax", "mse", "exact", "gptq")


@dataclass(frozen=True, slots=True)
class Affine:
    """`bits` per code, one (scale, bias) per `group_size` columns, both stored as `scales`.

    `scales` is "bfloat16", "float16" or "float32". `fit` names how scale and bias are chosen: "minmax" is the rule
    of `mx.quantize` on the CPU; "mse" the least squared error after rounding, weighted by column where `importance` is
    "file" or "record"; "exact" none at all, or the build stops; "gptq" the least error of the outputs for the inputs of
    an activation record, rounding errors fed back.
    """

    bits: int
    group_size: int
    scales: str
    fit: str = "minmax"
    importance: str = "none"

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
        if self.fit not in FITS:
            return f"affine has no fit {self.fit!r}, only {', '.join(FITS)}"
        if self.fit == "exact" and source.stored != "fp4":
            return f"fit: exact is for FP4 sources, whose values lie on a grid; this one is {source.stored}"
        if self.importance != "none" and self.fit != "mse":
            return f"importance weighs errors for fit: mse; fit: {self.fit} has no use for it"
        return divides(source, self.group_size, "affine")

    def lossless(self, source: SourceTensor) -> bool:  # noqa: ARG002 - the encoder sees to it
        return self.fit == "exact"

    def quantization(self) -> dict[str, Any] | None:
        return {"bits": self.bits, "group_size": self.group_size, "mode": "affine"}

    def spec(self) -> dict[str, Any]:
        spec = {"bits": self.bits, "group-size": self.group_size, "scales": self.scales, "fit": self.fit}
        return {"affine": spec if self.importance == "none" else spec | {"importance": self.importance}}
