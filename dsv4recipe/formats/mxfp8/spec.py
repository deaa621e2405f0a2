"""Floor 1, formats. mxfp8 (OCP microscaling): the source's own FP8 codes, a tile's scale repeated. This module is pure.

Layout: docs/reference/formats.md, "mxfp8".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from dsv4recipe.formats.base import Format, Part, SourceTensor, Stem, divides, grouped


@dataclass(frozen=True, slots=True)
class Mxfp8(Format):
    """FP8 E4M3 codes, one E8M0 scale per 32 columns of a row. From an FP8 source the codes are copied and each
    tile's scale is repeated over its rows and column groups."""

    KIND: ClassVar[str] = "mxfp8"
    SCHEMA: ClassVar[Mapping[str, Any]] = {
        "description": (
            "FP8 codes with one power-of-two scale per 32 columns. An exact copy of an FP8 source. No parameters: {}."
        ),
        "type": "object",
        "additionalProperties": False,
        "examples": [{}],
    }

    @classmethod
    def from_spec(cls, value: Any) -> Mxfp8:
        if value != {}:
            raise ValueError("mxfp8 has no parameters")
        return cls()

    @classmethod
    def recognise(cls, stem: Stem) -> Mxfp8 | None:
        """Returns U32 codes of 8 bits, U8 scales for each 32 columns."""
        alike = grouped(stem, (".weight", ".scales")) == (8, 32) and stem.parts[".scales"].dtype == "U8"
        return cls() if alike else None

    @classmethod
    def candidates(cls, given: Any, half: str) -> Iterable[Mxfp8]:  # noqa: ARG003
        return (cls(),)

    @classmethod
    def as_stored(cls) -> Iterable[Mxfp8]:
        return (cls(),)

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

    @property
    def nominal_bits(self) -> int:
        return 8

    @property
    def copies_bits(self) -> bool:
        return True

    def error_limit(self) -> float:
        return 2.0**-5
