"""Floor 1, formats. mxfp8 (OCP microscaling): the source's own FP8 codes, a tile's scale repeated. This module is pure.

Layout: docs/reference/formats.md, "mxfp8".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from dsv4recipe.formats.base import SourceTensor
from dsv4recipe.formats.microscaled import GROUP, Microscaled, schema_of


@dataclass(frozen=True, slots=True)
class Mxfp8(Microscaled):
    """FP8 E4M3 codes, one E8M0 scale per 32 columns of a row. From an FP8 source the codes are copied and each
    tile's scale is repeated over its rows and column groups."""

    KIND: ClassVar[str] = "mxfp8"
    SCHEMA: ClassVar[Mapping[str, Any]] = schema_of("FP8")
    BITS: ClassVar[int] = 8
    STORED: ClassVar[str] = "fp8"

    def problem(self, source: SourceTensor) -> str:
        if source.stored == self.STORED and (len(source.tile) != 2 or source.tile[1] % GROUP):
            return f"mxfp8 needs scale tiles of a multiple of 32 columns, the source has {list(source.tile)}"
        return Microscaled.problem(self, source)
