"""Floor 1, formats. Affine: raw source rows → words, scales and biases, and back. This module is pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsv4recipe.formats.affine.kernels import fit
from dsv4recipe.formats.affine.kernels import quantize as affine
from dsv4recipe.formats.affine.kernels.unpack import affine_rows
from dsv4recipe.formats.affine.lattices import seeds
from dsv4recipe.formats.affine.spec import Affine
from dsv4recipe.formats.base import SourceTensor
from dsv4recipe.formats.columns import column_weights
from dsv4recipe.formats.decode import Bytes, Floats, widen
from dsv4recipe.formats.encode import BadValue, Empty, NotExact, arrays_of, blocks, check_codes, narrow, spans_of
from dsv4recipe.formats.kernels.compare import Gaps, affine_distance


def encode(
    fmt: Affine, source: SourceTensor, weight: Bytes, scale: Bytes | None, empty: Empty, given: Floats | None
) -> tuple[NDArray[Any], ...]:
    importance = None if given is None else column_weights(given)
    dtype = fmt.parts(source)[1].dtype
    words, scales, biases = arrays_of(fmt, source, empty)
    rows, columns = source.shape
    spans = spans_of(rows, columns)
    # Scales and biases: two to store and two to choose codes with; minmax stores the latter.
    chosen = empty((4, spans[0][1] if spans else 0, columns // fmt.group_size), np.float32)
    decoded: Iterator[tuple[int, Floats]] = iter(())
    if source.stored == "fp4" and scale is not None:
        check_codes(source, weight, scale)
        packed, exponents = weight.reshape(rows, columns // 2), scale.reshape(rows, columns // 32)
    else:
        decoded = blocks(source, weight, scale, empty)
    fitted, first = (fmt.fit != "minmax"), 2 if fmt.fit == "minmax" else 0
    for start, stop in spans:
        part, four = slice(start, stop), chosen[:, : stop - start]
        if source.stored == "fp4":
            if fitted:
                fit_fp4(fmt, dtype, packed[part], exponents[part], importance, start, four)
            affine.quantize_fp4(
                packed[part], exponents[part], fmt.bits, fmt.group_size, words[part], four[2], four[3], fitted
            )
        else:
            block = next(decoded)[1]
            if fitted:
                weights = np.ones(columns, np.float32) if importance is None else importance
                fit.fit_f32(block, weights, fmt.bits, fmt.group_size, dtype, four)
            affine.quantize_f32(block, fmt.bits, fmt.group_size, words[part], four[2], four[3], fitted)
        for what, values, stored in (("scale", four[first], scales), ("bias", four[first + 1], biases)):
            beyond = narrow(values, dtype, stored[part])
            if beyond >= 0:
                row, group = divmod(beyond, values.shape[1])
                raise BadValue(start + row, group * fmt.group_size, f"the group's {what} overflows {fmt.scales}")
    return words, scales, biases


def fit_fp4(
    fmt: Affine, dtype: str, packed: Bytes, exponents: Bytes, importance: Floats | None, start: int, four: Floats
) -> None:
    """Scales and biases of rows `start`… → `four`, as the fit kernel gives them. Raises NotExact."""
    lattices = seeds(fmt.bits) if fmt.fit == "mse" else None
    other = fit.fit_fp4(packed, exponents, importance, fmt.bits, fmt.group_size, dtype, lattices, four)
    if other >= 0:
        row, group = divmod(other, four.shape[2])
        reason = f"{fmt.bits}-bit codes with {fmt.scales} scales do not hold these {fmt.group_size} values exactly"
        raise NotExact(start + row, group * fmt.group_size, reason)


def decode(fmt: Affine, source: SourceTensor, arrays: Sequence[NDArray[Any]]) -> Floats:
    """q·scale + bias in float32, two roundings."""
    words, scales, biases = (np.ascontiguousarray(a) for a in arrays)
    dtype = fmt.parts(source)[1].dtype
    out = np.empty(source.shape, np.float32)
    affine_rows(words, widen(scales, dtype), widen(biases, dtype), fmt.bits, fmt.group_size, out)
    return out


def gaps(
    fmt: Affine, source: SourceTensor, arrays: Sequence[NDArray[Any]], exact: Floats
) -> tuple[Gaps | None, bool | None]:
    """As `formats.compare.gaps`."""
    dtype = fmt.parts(source)[1].dtype
    scales, biases = (widen(array, dtype) for array in arrays[1:])
    return affine_distance(arrays[0], scales, biases, fmt.bits, fmt.group_size, exact), None
