"""What the model says of V4-Pro by each recipe whose rates were recorded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.scale_out.model import STORAGE, limited_from, seconds_of, traffic_of
from benchmarks.scale_out.record import RECIPES
from benchmarks.scale_out.world import pro


def expect(work: Path, rates: dict[str, Any]) -> dict[str, Any]:
    """By recipe: seconds of one core in all and of the longest shard, bytes on the wire, seconds of the wire at each
    storage, and the number of cores from which on it is the limit."""
    found = {}
    for name in RECIPES:
        _, _, tasks = pro(work, name)
        seconds, traffic = [seconds_of(task, rates) for task in tasks], [traffic_of(task) for task in tasks]
        found[name] = {
            "shards": len(tasks), "core_seconds": round(sum(seconds)), "longest": round(max(seconds), 1),
            "traffic": sum(traffic),
            "wire_seconds": {where: round(sum(traffic) / storage) for where, storage in STORAGE.items()},
            "limit_from_cores": {n: round(limited_from(seconds, traffic, s), 1) for n, s in STORAGE.items()},
        }  # fmt: skip
    return found
