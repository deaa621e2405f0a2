"""Floor 1, formats. mxfp4 (OCP microscaling): an exact copy of the source's own FP4 codes and scales. This module is
pure.

Layout: docs/reference/formats.md, "mxfp4".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from dsv4recipe.formats.microscaled import Microscaled, schema_of


@dataclass(frozen=True, slots=True)
class Mxfp4(Microscaled):
    """FP4 E2M1 codes, one E8M0 scale per 32 columns. From an FP4 source the bytes are copied."""

    KIND: ClassVar[str] = "mxfp4"
    SCHEMA: ClassVar[Mapping[str, Any]] = schema_of("FP4")
    BITS: ClassVar[int] = 4
    STORED: ClassVar[str] = "fp4"
