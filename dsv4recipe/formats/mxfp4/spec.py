"""Floor 1, formats. mxfp4 (OCP microscaling): an exact copy of the source's own FP4 codes and scales. This module is
pure.

Layout: docs/reference/formats.md, "mxfp4".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from dsv4recipe.formats.base import Format, Part, SourceTensor, Stem, divides, grouped


@dataclass(frozen=True, slots=True)
class Mxfp4(Format):
    """FP4 E2M1 codes, one E8M0 scale per 32 columns. From an FP4 source the bytes are copied."""

    KIND: ClassVar[str] = "mxfp4"
    SCHEMA: ClassVar[Mapping[str, Any]] = {
        "description": (
            "FP4 codes with one power-of-two scale per 32 columns. An exact copy of an FP4 source. No parameters: {}."
        ),
        "type": "object",
        "additionalProperties": False,
        "examples": [{}],
    }

    @classmethod
    def from_spec(cls, value: Any) -> Mxfp4:
        if value != {}:
            raise ValueError("mxfp4 has no parameters")
        return cls()

    @classmethod
    def recognise(cls, stem: Stem) -> Mxfp4 | None:
        """Returns U32 codes of 4 bits, U8 scales for each 32 columns."""
        alike = grouped(stem, (".weight", ".scales")) == (4, 32) and stem.parts[".scales"].dtype == "U8"
        return cls() if alike else None

    @classmethod
    def candidates(cls, given: Any, half: str) -> Iterable[Mxfp4]:  # noqa: ARG003
        return (cls(),)

    @classmethod
    def as_stored(cls) -> Iterable[Mxfp4]:
        return (cls(),)

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

    @property
    def nominal_bits(self) -> int:
        return 4

    @property
    def copies_bits(self) -> bool:
        return True

    def error_limit(self) -> float:
        return 2.0**-5
