"""The model of the cost. Pure.

A shard costs so many seconds of one core per weight of each kind of encoding, per byte written, and for itself. A build
takes at least as long as the tightest of three: all cores together, the longest shard, the wire of the storage.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from dsv4recipe.builder.shard import ShardTask

STORAGE = {"10 GbE": 1.25e9, "25 GbE": 3.1e9, "100 GbE": 12.5e9}
"""Bytes per second of the storage that all workers share."""


def work_of(task: ShardTask) -> tuple[Counter[str], int]:
    """(weights by kind of encoding, bytes read)"""
    kinds: Counter[str] = Counter()
    read = 0
    for piece in task.pieces:
        bits = getattr(piece.format, "bits", "")
        fit = getattr(piece.format, "fit", "")
        kinds[f"{piece.source.stored} to {piece.format.kind}{bits}{fit and f' {fit}'}"] += prod(piece.source.shape)
        read += sum(span.end - span.start for span in (piece.weight, piece.scale) if span)
    return kinds, read


def fit(rows: Sequence[tuple[Counter[str], int, float]]) -> dict[str, Any]:
    """Rates from measured shards (weights by kind, bytes written, seconds), and how far they are off."""
    kinds = sorted({kind for counts, _, _ in rows for kind in counts})
    matrix = np.array([[*(counts[kind] / 1e9 for kind in kinds), size / 1e9, 1.0] for counts, size, _ in rows])
    seconds = np.array([each for *_, each in rows])
    solution = _nonnegative(matrix, seconds)
    predicted = matrix @ solution
    big = seconds > 0.05
    return {
        "shards": len(rows),
        "seconds_per_1e9_weights": dict(zip(kinds, solution[:-2].round(4).tolist(), strict=True)),
        "seconds_per_1e9_bytes_written": round(float(solution[-2]), 4),
        "seconds_per_shard": round(float(solution[-1]), 4),
        "sum_measured": round(float(seconds.sum()), 2),
        "sum_predicted": round(float(predicted.sum()), 2),
        "median_error_of_a_shard": round(float(np.median(np.abs(predicted / seconds - 1)[big])), 4),
    }


def _nonnegative(matrix: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Least squares of relative errors, no coefficient below 0: columns that would be are left out, one by one."""
    use = list(range(matrix.shape[1]))
    while True:
        found = np.linalg.lstsq(matrix[:, use] / values[:, None], np.ones(len(values)), rcond=None)[0]
        if (found >= 0).all():
            whole = np.zeros(matrix.shape[1])
            whole[use] = found
            return whole
        del use[int(found.argmin())]


def seconds_of(task: ShardTask, rates: dict[str, Any]) -> float:
    """Seconds of one core that a shard takes."""
    weights, _ = work_of(task)
    per = rates["seconds_per_1e9_weights"]
    moved = sum(per[kind] * n for kind, n in weights.items()) + rates["seconds_per_1e9_bytes_written"] * task.size
    return float(moved / 1e9 + rates["seconds_per_shard"])


def traffic_of(task: ShardTask) -> int:
    """Bytes that cross the wire: read, written, read back."""
    return work_of(task)[1] + 2 * task.size


def makespan(seconds: Sequence[float], traffic: Sequence[int], workers: int, storage: float) -> float:
    """Seconds of a build by workers of one thread: processors, the longest shard, the wire; the tightest."""
    return max(sum(seconds) / workers, *seconds, sum(traffic) / storage)


def limited_from(seconds: Sequence[float], traffic: Sequence[int], storage: float) -> float:
    """The number of cores from which on the storage is the limit."""
    return sum(seconds) / (sum(traffic) / storage)


def greedy(seconds: Sequence[float], workers: int) -> float:
    """The makespan of shards handed out in order to whoever is free."""
    free = [0.0] * workers
    for each in seconds:
        heapq.heappush(free, heapq.heappop(free) + each)
    return max(free)
