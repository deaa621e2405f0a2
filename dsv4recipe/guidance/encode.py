"""Floor 4, guidance. Encodes a piece with what guides its format, and measures what this gains. Reads both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsv4recipe.formats.base import Format, wants_moments
from dsv4recipe.formats.calibrated.encode import encode_calibrated, rotated
from dsv4recipe.formats.decode import decode_parts, decode_source, stored_sizes
from dsv4recipe.formats.encode import Empty, encode
from dsv4recipe.guidance.hidden import Read
from dsv4recipe.guidance.pieces import moments_of
from dsv4recipe.importance.model import Guide
from dsv4recipe.plan.pieces import Piece, columns_of
from dsv4recipe.records.model import Record
from dsv4recipe.records.rows import Floats

Bytes = NDArray[np.uint8]


def encode_guided(
    piece: Piece, weight: Bytes, scale: Bytes | None, guide: Guide | None, read: Read, empty: Empty = np.empty
) -> tuple[NDArray[Any], ...]:
    """Returns the stored arrays of a piece. `guide` is the file or record that the plan was made with. `read` returns
    the bytes of a span of the source. Raises BadValue, and RecipeError K003."""
    if not wants_moments(piece.format):
        return encode(piece.format, piece.source, weight, scale, empty, columns_of(piece, guide))
    assert isinstance(guide, Record)
    moments = moments_of(piece, guide, read)
    return encode_calibrated(piece.format, piece.source, weight, scale, moments, empty)


def first_rows(piece: Piece, weight: Bytes, scale: Bytes | None, rows: int) -> tuple[Piece, Bytes, Bytes | None]:
    """Returns the first `rows` rows of a piece as a piece of their own."""
    shape = (min(rows, piece.source.shape[0]), *piece.source.shape[1:])
    source = replace(piece.source, shape=shape)
    sizes = stored_sizes(source)
    return replace(piece, source=source), weight[: sizes[0]], None if scale is None else scale[: sizes[1]]


def output_errors(
    piece: Piece, weight: Bytes, scale: Bytes | None, stored: Sequence[NDArray[Any]], record: Record, read: Read
) -> tuple[float, float]:
    """Returns tr(ΔW·H·ΔWᵀ) of what is stored, and of the same format without the record (affine: minmax; mxtq: nearest
    levels), over the rows of a piece."""
    moments = moments_of(piece, record, read)
    exact = decode_source(piece.source, weight, scale)
    plain = plain_format(piece.format)
    found = []
    for arrays in (stored, encode(plain, piece.source, weight, scale)):
        rest = rotated(piece.format, exact - decode_parts(plain, piece.source, arrays)).astype(np.float64)
        rest = rest[:, moments.order]
        found.append(_weighed(rest, moments.h))
    return found[0], found[1]


def _weighed(rest: NDArray[np.float64], h: Floats) -> float:
    return float(np.einsum("ij,ij->", rest @ h.reshape(rest.shape[1], -1), rest))


def plain_format(fmt: Format) -> Format:
    """Returns the same format without a record."""
    return replace(fmt, fit={"affine": "minmax", "mxtq": "nearest"}[fmt.kind])  # type: ignore[type-var]
