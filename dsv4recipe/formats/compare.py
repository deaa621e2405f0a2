"""Floor 1, formats. What an encoder wrote against exact rows, without storing what it decodes to. This module is
pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsv4recipe.formats.base import Format, SourceTensor
from dsv4recipe.formats.codec import optional
from dsv4recipe.formats.decode import Floats, decode_parts
from dsv4recipe.formats.kernels.compare import Gaps, distance


def gaps(fmt: Format, source: SourceTensor, arrays: Sequence[NDArray[Any]], exact: Floats) -> tuple[Gaps, bool | None]:
    """Returns the gaps between float32 rows `exact` of `source` and the parts `arrays` of those rows; and whether
    encoding the rows again gives those very parts, where that is known without encoding them (MXTQ), else None."""
    arrays = [np.ascontiguousarray(array) for array in arrays]
    by_codec = optional(fmt, "gaps")
    found, alike = by_codec(fmt, source, arrays, exact) if by_codec else (None, None)
    return found or distance(exact, decode_parts(fmt, replace(source, shape=exact.shape), arrays)), alike
