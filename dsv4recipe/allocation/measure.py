"""Floor 3, allocation. Measures the error of each format in each module, on a seeded sample of its experts and rows.
Reads those rows of the checkpoint's shards, also on the hub.

Rows are read, encoded, decoded and compared one block at a time, so memory does not grow with the model. The encoder is
the one that the build uses, with the same fit and the same type of scales.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
from numpy.typing import NDArray

from dsv4recipe.allocation.error_table import ErrorTable, kind_of
from dsv4recipe.checkpoint.graph import Group, Tensor
from dsv4recipe.checkpoint.source import Source
from dsv4recipe.checkpoint.synth_values import Draw
from dsv4recipe.errors import RecipeError, Where
from dsv4recipe.formats import Format, SourceTensor
from dsv4recipe.formats.decode import Bytes, decode_parts, decode_source
from dsv4recipe.formats.encode import BadValue, encode
from dsv4recipe.formats.kernels.compare import distance
from dsv4recipe.plan.pieces import Span, row_spans

BLOCK_ROWS = 128
"""How many rows are read together: a whole number of FP8 tiles."""

Asked = tuple[Group, tuple[Format, ...]]


def measure(
    asked: Sequence[Asked],
    where: Source,
    seed: int,
    sample: int,
    workers: int,
    told: Callable[[int], None] = lambda done: None,
) -> ErrorTable:
    """Returns the relative squared error of every module in every requested format, and the mean of each kind of
    module.

    Of each module, `sample` blocks of 128 rows are read: one from each of as many experts, or from as many places of
    one matrix. The seed and the module's name decide which. `told` is called with the number of finished modules.

    Raises RecipeError A006 (the sample holds only zeros, as in headers without data), A010 (a value that no format can
    hold), H002 to H009 (the hub).
    """
    rows: dict[str, dict[str, float]] = {}
    told(0)
    with ThreadPoolExecutor(workers, thread_name_prefix="measure") as pool:
        found = pool.map(partial(_module, where=where, seed=seed, sample=sample), asked)
        try:
            for done, ((group, _), errors) in enumerate(zip(asked, found, strict=True), 1):
                rows[group.names] = errors
                told(done)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    pooled: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for group, _ in asked:
        for name, value in rows[group.names].items():
            pooled[kind_of(group)][name].append(value)
    means = {kind: {name: sum(v) / len(v) for name, v in errors.items()} for kind, errors in pooled.items()}
    evidence = f"measured on the source: {sample} blocks of {BLOCK_ROWS} rows of each module, seed {seed}"
    return ErrorTable("measured", evidence, rows | means)


def _module(asked: Asked, where: Source, seed: int, sample: int) -> dict[str, float]:
    group, formats = asked
    sums = {fmt: [0.0, 0.0] for fmt in formats if not group.lossless(fmt)}
    for tensor, first in _places(group, seed, sample) if sums else ():
        for fmt, gap in _block(tensor, first, tuple(sums), where).items():
            sums[fmt][0] += gap[0]
            sums[fmt][1] += gap[1]
    if any(power == 0 for _, power in sums.values()):
        message = f"every sampled weight of {group.names} is zero, so the checkpoint holds headers but no data"
        hint = (
            "pass `--errors FILE` for errors measured elsewhere, or `--errors synthetic` for those of Gaussian weights"
        )
        raise RecipeError("A006", message, Where(where.place), hint)
    return {fmt.error_key: error / power for fmt, (error, power) in sums.items()}


def _places(group: Group, seed: int, sample: int) -> list[tuple[Tensor, int]]:
    """Returns (tensor, first row) of each block: one from each of several experts or places, then further rows of
    them."""
    draw = Draw(seed, group.names)
    blocks = -(-group.source.shape[0] // BLOCK_ROWS)
    chosen = _distinct(draw, len(group.members) if group.experts else blocks, sample)
    if not group.experts:
        return [(group.members[0], block * BLOCK_ROWS) for block in chosen]
    rows = draw.words(len(chosen)).astype(int) % blocks
    return [(group.members[e], int(row) * BLOCK_ROWS) for e, row in zip(chosen, rows, strict=True)]


def _distinct(draw: Draw, count: int, wanted: int) -> list[int]:
    order = np.argsort(draw.words(count), kind="stable")
    return sorted(int(i) for i in order[:wanted])


def _block(tensor: Tensor, first: int, formats: Sequence[Format], where: Source) -> dict[Format, tuple[float, float]]:
    """Returns (Σ(ŵ−w)², Σw²) of one block of rows in each format."""
    last = min(first + BLOCK_ROWS, tensor.source.shape[0])
    source, weight_span, scale_span = row_spans(tensor, first, last)
    weight = _read(where, weight_span)
    scale = None if scale_span is None else _read(where, scale_span)
    try:
        return distances(source, weight, scale, formats)
    except BadValue as error:
        message = f"{tensor.name}, row {first + error.row}, column {error.column}: {error.reason}"
        hint = "check this tensor; the download may be damaged"
        raise RecipeError("A010", message, Where(where.place, subject=tensor.name), hint) from None


def distances(
    source: SourceTensor, weight: Bytes, scale: Bytes | None, formats: Sequence[Format]
) -> dict[Format, tuple[float, float]]:
    """Returns (Σ(ŵ−w)², Σw²) of raw rows in each format, encoded and decoded again. Raises BadValue like the
    encoders."""
    exact = decode_source(source, weight, scale)
    again = ((fmt, decode_parts(fmt, source, encode(fmt, source, weight, scale))) for fmt in formats)
    return {fmt: distance(exact, seen)[:2] for fmt, seen in again}


def _read(where: Source, span: Span) -> NDArray[np.uint8]:
    return np.frombuffer(where.read(span.file, span.start, span.end), np.uint8)
