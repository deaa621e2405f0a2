"""Floor 1, formats. Plain copies and casts: a tensor kept as it is, or in another float dtype.

Pure; the encoder is `formats.encode`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dsv4recipe.formats.base import Part, SourceTensor

EXACT = {"F32": {"bf16", "f16", "f32", "fp8", "fp4"}, "BF16": {"bf16", "fp8", "fp4"}, "F16": {"f16"}}
"""Which storages each float dtype holds exactly."""


@dataclass(frozen=True, slots=True)
class Keep:
    """One plain tensor of safetensors dtype `dtype` ("F32", "BF16", "F16", or the source's integer dtype)."""

    dtype: str

    @property
    def kind(self) -> str:
        return "keep"

    def parts(self, source: SourceTensor) -> tuple[Part, ...]:
        return (Part("", self.dtype, source.shape),)

    def problem(self, source: SourceTensor) -> str:
        if source.stored == "int" and self.dtype != source.dtype:
            return f"an integer tensor ({source.dtype}) is copied as it is, never cast to {self.dtype}"
        return ""

    def lossless(self, source: SourceTensor) -> bool:
        return self.dtype == source.dtype or source.stored in EXACT.get(self.dtype, set())

    def quantization(self) -> dict[str, Any] | None:
        return None

    def spec(self) -> dict[str, Any]:
        return {"keep": self.dtype}
