"""Floor 1, formats. Source rows → stored arrays, each rounding error fed into the columns that are still to come. This
module is pure.

Rows are encoded side by side and never meet: any split of rows gives the same bytes. For FP4 sources at 4 bits and more
a group's lattice is found first, on the weights as they are (`fit: mse`, columns weighed by their pivots), because most
of them then err nothing; in all other cases a group is fitted when it is reached.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsv4recipe.formats.affine.codec import fit_fp4
from dsv4recipe.formats.affine.kernels.fit import KINDS
from dsv4recipe.formats.affine.spec import Affine
from dsv4recipe.formats.base import Format, SourceTensor
from dsv4recipe.formats.calibrated.moments import Moments
from dsv4recipe.formats.columns import column_weights
from dsv4recipe.formats.decode import Bytes, Floats, raw
from dsv4recipe.formats.encode import BadValue, Empty, blocks, narrow
from dsv4recipe.formats.kernels.calibrated import affine, mxtq, settle
from dsv4recipe.formats.kernels.calibrated.product import LANES
from dsv4recipe.formats.kernels.calibrated.rows import groups_of, groups_to_lanes, to_lanes, words_of
from dsv4recipe.formats.mxtq.codebooks import block_scales, boundaries, codebook, hadamard_blocks, signs
from dsv4recipe.formats.mxtq.kernels import codec
from dsv4recipe.formats.mxtq.spec import Mxtq

_ROWS = 128
"""Rows that share a pass over H: eight panels of lanes."""


def encode_calibrated(
    fmt: Format, source: SourceTensor, weight: Bytes, scale: Bytes | None, moments: Moments, empty: Empty = np.empty
) -> tuple[NDArray[Any], ...]:
    """As `formats.encode.encode`, with the moments of the matrix's inputs, made for `fmt.rounding_group` and, where
    the format rotates, from `rotated` inputs. Raises BadValue; ValueError where format and source do not fit."""
    weight, scale = raw(source, weight, scale)
    problem = fmt.problem(source)
    if problem:
        raise ValueError(problem)
    if len(moments.order) != source.shape[1]:
        raise ValueError(f"the moments have {len(moments.order)} columns, but the source has {source.shape[1]}")
    if fmt.kind not in _ENCODERS:
        raise ValueError(f"{fmt.kind} has no calibrated fit")
    return _ENCODERS[fmt.kind](fmt, source, weight, scale, moments, empty)


def rotated(fmt: Format, rows: Floats) -> Floats:
    """Returns inputs float32 [n, columns] as the format's matrix sees them: rotated for MXTQ, as they are for
    others."""
    return _ROTATIONS[fmt.kind](fmt, rows) if fmt.rotation else rows


def _chunks(
    source: SourceTensor, weight: Bytes, scale: Bytes | None, empty: Empty
) -> Iterator[tuple[slice, Floats, int]]:
    """Yields (rows, their float32 values, panels of lanes), `_ROWS` at a time."""
    for start, block in blocks(source, weight, scale, empty, _ROWS):
        yield slice(start, start + len(block)), block, -(-len(block) // LANES)


def _affine(
    fmt: Affine, source: SourceTensor, weight: Bytes, scale: Bytes | None, moments: Moments, empty: Empty
) -> tuple[NDArray[Any], ...]:
    rows, columns = source.shape
    dtype, groups, kind = fmt.parts(source)[1].dtype, columns // fmt.group_size, KINDS[fmt.parts(source)[1].dtype]
    words = empty((rows, columns * fmt.bits // 32), np.uint32)
    stored = [empty((rows, groups), np.float32 if dtype == "F32" else np.uint16) for _ in range(2)]
    lanes, rest, codes = _memory(columns, empty)
    chosen, numbers = empty((2, _ROWS * groups), np.float32), empty((2, _ROWS, groups), np.float32)
    lattice = source.stored == "fp4" and fmt.bits >= 4
    four, importance = empty((4, _ROWS, groups), np.float32), np.empty(columns, np.float32)
    importance[moments.order] = moments.pivots
    importance = column_weights(importance)
    for part, block, panels in _chunks(source, weight, scale, empty):
        count = len(block)
        to_lanes(block, moments.order, lanes)
        chosen[...] = 0
        if lattice and scale is not None:
            packed, exponents = weight.reshape(rows, columns // 2), scale.reshape(rows, columns // 32)
            fit_fp4(
                replace(fmt, fit="mse"), dtype, packed[part], exponents[part], importance, part.start, four[:, :count]
            )
            for which in range(2):
                groups_to_lanes(four[which, :count], moments.order, fmt.group_size, chosen[which])
        affine.encode_panels(
            moments.u, moments.pivots, columns, lanes, rest, panels, fmt.bits, fmt.group_size, kind, lattice,
            affine.SEEDS, affine.TURNS, codes, *chosen,
        )  # fmt: skip
        settle.settle_affine(moments.h, columns, rest, lanes, panels, fmt.bits, fmt.group_size, kind, codes, *chosen)
        words_of(codes, moments.order, fmt.bits, words[part])
        for which, what in enumerate(("scale", "bias")):
            groups_of(chosen[which], moments.order, fmt.group_size, numbers[which, :count])
            beyond = narrow(numbers[which, :count], dtype, stored[which][part])
            if beyond >= 0:
                row, group = divmod(beyond, groups)
                raise BadValue(part.start + row, group * fmt.group_size, f"the group's {what} overflows {fmt.scales}")
    return words, *stored


def _mxtq(
    fmt: Mxtq, source: SourceTensor, weight: Bytes, scale: Bytes | None, moments: Moments, empty: Empty
) -> tuple[NDArray[Any], ...]:
    rows, columns = source.shape
    words, stored = empty((rows, columns * fmt.bits // 32), np.uint32), empty((rows,), np.uint16)
    lanes, rest, codes = _memory(columns, empty)
    edges, levels = boundaries(columns, fmt.bits), codebook(columns, fmt.bits)
    lengths = np.empty(_ROWS, np.float32)
    for part, block, panels in _chunks(source, weight, scale, empty):
        turned, norms = _turned(fmt, block)
        lengths[...] = 0
        lengths[: len(block)] = norms
        to_lanes(turned, moments.order, lanes)
        mxtq.encode_panels(moments.u, columns, lanes, rest, panels, edges, levels, lengths, codes)
        mxtq.refit_norms(moments.u, moments.pivots, columns, rest, lanes, panels, levels, codes, lengths)
        settle.settle_levels(moments.h, columns, rest, lanes, panels, edges, levels, codes)
        beyond = narrow(lengths[: len(block)], "F16", stored[part])
        if beyond >= 0:
            raise BadValue(part.start + beyond, 0, "the row's norm overflows float16")
        words_of(codes, moments.order, fmt.bits, words[part])
    return words, stored


def _turned(fmt: Mxtq, rows: Floats) -> tuple[Floats, Floats]:
    """Rotated rows, and their norms as the MXTQ encoder stores them, before they are float16."""
    count, columns = rows.shape
    turned, norms = np.empty((count, columns), np.float32), np.empty(count, np.float32)
    lanes = np.empty(columns * codec.LANES, np.float32)
    codec.turn(
        rows, signs(columns, fmt.seed), np.array(hadamard_blocks(columns), np.int64), block_scales(columns), lanes,
        turned, norms,
    )  # fmt: skip
    return turned, norms


def _rotated(fmt: Mxtq, rows: Floats) -> Floats:
    return _turned(fmt, rows)[0]


def _memory(columns: int, empty: Empty) -> tuple[Floats, Floats, NDArray[np.uint8]]:
    """Weights in lanes, their errors, their codes, for `_ROWS` rows."""
    lanes, rest = empty((_ROWS * columns,), np.float32), empty((_ROWS * columns,), np.float32)
    return lanes, rest, empty((_ROWS * columns,), np.uint8)


_ENCODERS: Mapping[str, Callable[..., tuple[NDArray[Any], ...]]] = {"affine": _affine, "mxtq": _mxtq}
_ROTATIONS: Mapping[str, Callable[[Any, Floats], Floats]] = {"mxtq": _rotated}
"""By kind of format."""
