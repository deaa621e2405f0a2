"""Floor 1, formats. Plain copies and casts: a tensor kept as it is, or in another float dtype.
This module is pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar

from dsv4recipe.formats.base import FLOAT_DTYPES, HALF_DTYPES, Format, Part, SourceTensor, Stem

EXACT = {"F32": {"bf16", "f16", "f32", "fp8", "fp4"}, "BF16": {"bf16", "fp8", "fp4"}, "F16": {"f16"}}
"""Which storages each float dtype holds exactly."""

CASTS = {"BF16": (0.0, 2.0**-8), "F16": (0.0, 2.0**-10), "F32": (0.0, 0.0)}
"""Relative RMSE of a plain cast: half a unit in the last place at most (2^-9 and 2^-11), twice that for room near 0."""


@dataclass(frozen=True, slots=True)
class Keep(Format):
    """One plain tensor of safetensors dtype `dtype` ("F32", "BF16", "F16", or the source's integer dtype)."""

    KIND: ClassVar[str] = "keep"

    dtype: str

    @classmethod
    def from_spec(cls, value: Any) -> Keep:
        if not isinstance(value, str):
            raise ValueError("this is not a dtype")
        return cls(value)

    @classmethod
    def recognise(cls, stem: Stem) -> Keep | None:
        """Returns one tensor, with as many elements and columns as the module has."""
        ((suffix, part), *more) = stem.parts.items()
        if stem.gguf or more or suffix not in ("", ".weight") or not part.shape:
            return None
        rows, columns = stem.matrix
        return cls(part.dtype) if prod(part.shape) == rows * columns and part.shape[-1] == columns else None

    @classmethod
    def candidates(cls, given: Any, half: str) -> Iterable[Keep]:
        return (cls(HALF_DTYPES[half] if name == "half" else FLOAT_DTYPES[name]) for name in given)

    def parts(self, source: SourceTensor) -> tuple[Part, ...]:
        return (Part("", self.dtype, source.shape),)

    def problem(self, source: SourceTensor) -> str:
        if source.stored == "int" and self.dtype != source.dtype:
            return f"an integer tensor ({source.dtype}) is copied as it is, never cast to {self.dtype}"
        return ""

    def lossless(self, source: SourceTensor) -> bool:
        return self.dtype == source.dtype or source.stored in EXACT.get(self.dtype, set())

    def spec(self) -> dict[str, Any]:
        return {"keep": self.dtype}

    def as_action(self, as_source: str) -> str:
        names = {dtype: name for name, dtype in FLOAT_DTYPES.items()}
        return "source" if self.dtype == as_source else names.get(self.dtype, "source")

    @property
    def label(self) -> str:
        return self.dtype

    @property
    def nominal_bits(self) -> int:
        return 32 if self.dtype == "F32" else 16

    @property
    def plain_dtype(self) -> str:
        return self.dtype

    def error_band(self) -> tuple[float, float] | None:
        return CASTS.get(self.dtype)

    def error_limit(self) -> float:
        return 2.0**-5
