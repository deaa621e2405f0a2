"""Floor 1, formats. What an encoder wrote against exact rows, without storing what it decodes to. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsv4recipe.formats.affine.spec import Affine
from dsv4recipe.formats.base import Format, SourceTensor
from dsv4recipe.formats.decode import Floats, decode_parts, widen
from dsv4recipe.formats.encode import narrow
from dsv4recipe.formats.kernels.compare import Gaps, affine_distance, distance, same_bytes
from dsv4recipe.formats.mxtq.codebooks import block_scales, boundaries, codebook, hadamard_blocks, signs
from dsv4recipe.formats.mxtq.kernels.compare import mxtq_distance
from dsv4recipe.formats.mxtq.spec import Mxtq


def gaps(fmt: Format, source: SourceTensor, arrays: Sequence[NDArray[Any]], exact: Floats) -> tuple[Gaps, bool | None]:
    """The gaps between float32 rows `exact` of `source` and the parts `arrays` of those rows; and whether encoding the
    rows again gives those very parts, where that is known without encoding them (MXTQ), else None."""
    arrays = [np.ascontiguousarray(array) for array in arrays]
    found: Gaps | None = None
    alike: bool | None = None
    if isinstance(fmt, Affine):
        dtype = fmt.parts(source)[1].dtype
        scales, biases = (widen(array, dtype) for array in arrays[1:])
        found = affine_distance(arrays[0], scales, biases, fmt.bits, fmt.group_size, exact)
    elif isinstance(fmt, Mxtq):
        found, alike = _mxtq(fmt, arrays[0], arrays[1], exact)
    return found or distance(exact, decode_parts(fmt, replace(source, shape=exact.shape), arrays)), alike


@lru_cache(maxsize=16)
def _constants(width: int, fmt: Mxtq) -> tuple[tuple[NDArray[Any], ...], Floats]:
    """What the kernels take, kept: to draw the signs takes as long as to compare a block of rows."""
    sizes = np.array(hadamard_blocks(width), np.int64)
    constants = (signs(width, fmt.seed), sizes, block_scales(width), boundaries(width, fmt.bits))
    return constants, codebook(width, fmt.bits)


def _mxtq(fmt: Mxtq, packed: NDArray[Any], stored: NDArray[Any], exact: Floats) -> tuple[Gaps | None, bool]:
    constants, levels = _constants(exact.shape[1], fmt)
    found, alike, norms = mxtq_distance(packed, widen(stored, "F16"), constants, levels, exact)
    again = np.empty(norms.shape, np.uint16)
    finite = narrow(norms, "F16", again) < 0
    return found, alike and finite and same_bytes(again, stored)
