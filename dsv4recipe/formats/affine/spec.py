"""Floor 1, formats. MLX affine quantization: w ≈ q·scale + bias per group of columns of a row. This module is pure.

Layout and rule: docs/reference/formats.md, "affine".
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, ClassVar

from dsv4recipe.formats.affine.bands import MEASURED
from dsv4recipe.formats.affine.schema import SCHEMA
from dsv4recipe.formats.base import (
    FLOAT_DTYPES,
    Format,
    Part,
    SourceTensor,
    Stem,
    divides,
    grouped,
    wants_importance,
    wants_moments,
)

BITS = (2, 3, 4, 5, 6, 8)
GROUP_SIZES = (32, 64, 128)
FITS = ("minmax", "mse", "exact", "gptq")


@dataclass(frozen=True, slots=True)
class Affine(Format):
    """`bits` per code, one (scale, bias) per `group_size` columns, both stored as `scales`.

    `scales` is "bfloat16", "float16" or "float32". `fit` names how scale and bias are chosen: "minmax" is the rule
    of `mx.quantize` on the CPU; "mse" the least squared error after rounding, weighted by column where `importance` is
    "file" or "record"; "exact" none at all, or the build stops; "gptq" the least error of the outputs for the inputs of
    an activation record, rounding errors fed back.
    """

    KIND: ClassVar[str] = "affine"
    SCHEMA: ClassVar[Mapping[str, Any]] = SCHEMA

    bits: int
    group_size: int
    scales: str
    fit: str = "minmax"
    importance: str = "none"

    @classmethod
    def from_spec(cls, value: Any) -> Affine:
        return cls._of(dict(value))

    @classmethod
    def from_recipe(cls, given: Mapping[str, Any], half: str) -> Affine:
        return cls._of({"scales": half, "fit": "minmax", **given})

    @classmethod
    def _of(cls, given: dict[str, Any]) -> Affine:
        bits, size, scales, fit = (given.pop(key) for key in ("bits", "group-size", "scales", "fit"))
        importance = given.pop("importance", "none")
        if given or not (isinstance(bits, int) and isinstance(size, int)):
            raise ValueError("these are not the parameters of affine")
        return cls(bits, size, str(scales), str(fit), str(importance))

    @classmethod
    def recognise(cls, stem: Stem) -> Affine | None:
        """Returns U32 codes, with scales and biases of one float type and shape."""
        found = grouped(stem, (".weight", ".scales", ".biases"))
        if found is None:
            return None
        bits, size = found
        scales, biases = stem.parts[".scales"], stem.parts[".biases"]
        names = {dtype: name for name, dtype in FLOAT_DTYPES.items()}
        alike = (biases.dtype, biases.shape) == (scales.dtype, scales.shape) and scales.dtype in names
        return cls(bits, size, names[scales.dtype]) if alike and bits in BITS and size in GROUP_SIZES else None

    @classmethod
    def candidates(cls, given: Any, half: str) -> Iterable[Affine]:
        return (
            cls(bits, size, half, fit) for bits, size, fit in product(given["bits"], given["group-size"], given["fit"])
        )

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

    def spelled(self, half: str) -> dict[str, Any]:
        usual = {"scales": half, "fit": "minmax"}
        return {"affine": {key: value for key, value in self.spec()["affine"].items() if usual.get(key) != value}}

    @property
    def label(self) -> str:
        fit = "" if self.fit == "minmax" else f" {self.fit}"
        weighted = "" if self.importance == "none" else " by importance"
        return f"affine {self.bits}-bit g{self.group_size}{fit}{weighted}"

    @property
    def error_key(self) -> str:
        return f"{self.label} {FLOAT_DTYPES[self.scales]}"

    @property
    def nominal_bits(self) -> int:
        return self.bits

    @property
    def rounding_group(self) -> int:
        return self.group_size

    @property
    def scales_type(self) -> str:
        return self.scales

    def as_seen(self) -> Affine:
        return replace(self, fit="")

    def error_band(self) -> tuple[float, float] | None:
        """Returns half of the least and one and a half times the greatest error measured: other weights, the same
        codec. A least-squares fit is never worse than minmax, and may be exact; weighed by importance, it may be
        worse."""
        found = None if wants_importance(self) or wants_moments(self) else MEASURED.get((self.bits, self.group_size))
        return None if found is None else (found[0] * (0.5 if self.fit == "minmax" else 0.0), found[1] * 1.5)

    def error_limit(self) -> float:
        """A step is at most 2·max/(2^b − 1), the group's power at least max², so the error is at most √g/(2^b − 1) of
        it; half as much again for the rule that keeps zero exact. A fit by importance may give up on columns; feedback
        trades the errors of weights for those of outputs."""
        if wants_importance(self) or wants_moments(self):
            return 0.95
        return min(0.95, 1.5 * math.sqrt(self.group_size) / ((1 << self.bits) - 1))
