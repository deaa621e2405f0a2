"""Floor 4, guidance. Computes the moments of a piece's inputs from the record and the source. Reads both.

Moments are large (128 MiB for 4,096 columns) and are used by few pieces: gate and up of an expert, the parts of a
matrix. So the last few are kept, and a thread that needs moments which another thread is computing waits for them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import Future
from functools import lru_cache
from threading import Lock
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from dsv4recipe.formats.base import Format
from dsv4recipe.formats.calibrated.encode import rotated
from dsv4recipe.formats.calibrated.moments import Moments, Pool, moments, pooled
from dsv4recipe.formats.kernels.calibrated.product import DEPTH
from dsv4recipe.guidance.hidden import Read, hidden
from dsv4recipe.plan.pieces import Piece
from dsv4recipe.records.model import Layer, Record
from dsv4recipe.records.names import DOWN, EXPERTS, inputs_of
from dsv4recipe.records.rows import Floats

ROWS = 8192
"""The most inputs of a matrix that are used, evenly spaced among those recorded; more change its moments very
little."""
POOLED = 4096
"""How many inputs of a layer make its pool, evenly spaced."""
_MOMENTS, _POOLS = 3, 4
"""How many moments are kept."""
T = TypeVar("T")


def moments_of(piece: Piece, record: Record, read: Read) -> Moments:
    """Returns the moments that `encode_calibrated` needs for a piece. `read` returns the bytes of a span of the source.

    Raises RecipeError K003 for a damaged record. The record fits the piece's module, as the plan has checked.
    """
    return _workshop(record).moments(piece, read)


@lru_cache(maxsize=2)
def _workshop(record: Record) -> _Workshop:
    return _Workshop(record)


class _Workshop:
    """The computed moments of one record that are kept."""

    def __init__(self, record: Record):
        self.record = record
        self._moments = _Kept(_MOMENTS)
        self._pools = _Kept(_POOLS)

    def moments(self, piece: Piece, read: Read) -> Moments:
        inputs = inputs_of(piece.tensor)
        assert inputs is not None
        fmt = piece.format
        layer = self.record.layer(inputs)
        assert layer is not None
        key = (inputs, fmt.rotation, fmt.rounding_group)
        found: Moments = self._moments.get(key, lambda: self._made(piece, layer.proven(), read))
        return found

    def _made(self, piece: Piece, layer: Layer, read: Read) -> Moments:
        inputs, fmt, size = inputs_of(piece.tensor), piece.format, piece.source.shape[-1]
        assert inputs is not None
        if inputs.expert is None:
            which = even(layer.count(inputs.entry), ROWS)
            rows = _blocks(fmt, lambda part: layer.rows(inputs.entry, which[part]), len(which))
            return moments(rows, len(which), size, fmt.rounding_group, None)
        tokens, weights = layer.tokens(inputs.expert)
        which = even(len(tokens), ROWS)
        tokens, weights = tokens[which], weights[which]
        pool: Pool = self._pools.get(
            (inputs.layer, inputs.entry, fmt.rotation), lambda: _pool(fmt, layer, inputs.entry, size)
        )
        of_experts = lambda part: layer.rows(EXPERTS, tokens[part])  # noqa: E731 - named for what it gives
        if inputs.entry == DOWN:
            limit = float(self.record.manifest["swiglu_limit"])
            values = hidden(of_experts, weights, piece.beside, limit, read)
            rows = _blocks(fmt, lambda part: values[part], len(tokens))
        else:
            rows = _blocks(fmt, of_experts, len(tokens))
        return moments(rows, len(tokens), size, fmt.rounding_group, pool)


def _pool(fmt: Format, layer: Layer, entry: str, size: int) -> Pool:
    which = even(layer.count(entry), POOLED)
    return pooled(_blocks(fmt, lambda part: layer.rows(entry, which[part]), len(which)), size)


def even(count: int, most: int) -> NDArray[np.int64]:
    """Returns at most `most` of `count` places, evenly spaced."""
    kept = min(count, most)
    return np.arange(kept, dtype=np.int64) * count // max(1, kept)


def _blocks(fmt: Format, rows: Callable[[slice], Floats], count: int) -> Callable[[], Iterator[Floats]]:
    def each() -> Iterator[Floats]:
        for first in range(0, count, DEPTH):
            yield rotated(fmt, np.ascontiguousarray(rows(slice(first, min(first + DEPTH, count)))))

    return each


class _Kept:
    """The last few results by key; one thread computes a result, others wait for it."""

    def __init__(self, most: int):
        self._most = most
        self._lock = Lock()
        self._found: OrderedDict[Hashable, Future[Any]] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        with self._lock:
            future = self._found.get(key)
            mine = future is None
            if future is None:
                future = self._found[key] = Future()
            self._found.move_to_end(key)
            while len(self._found) > self._most:
                self._found.popitem(last=False)
        if mine:
            try:
                future.set_result(make())
            except BaseException as error:
                with self._lock:
                    self._found.pop(key, None)
                future.set_exception(error)
        result: T = future.result()
        return result
