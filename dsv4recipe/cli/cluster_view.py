"""Floor 6, cli. Prints what happens to the workers of a cluster in lines, and what they do in a table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dsv4recipe.builder.events import Cluster, Event, ShardAgain, StorageAway, WorkerJoined, WorkerLost, WorkerRefused
from dsv4recipe.cli.pace import Pace

_ROWS = 16
"""How many workers a terminal shows; the dashboard shows all of them."""


def cluster_line(event: Event) -> Iterator[str]:
    """Yields the text of an event about the cluster."""
    match event:
        case Cluster():
            yield f"checking the workers of {event.scheduler}; Dask's dashboard: {event.dashboard}"
        case WorkerJoined():
            threads = f", {event.threads} threads" if event.threads != 1 else ""
            yield f"worker {event.worker} on {event.host} joins{threads}"
        case WorkerRefused():
            yield f"worker {event.worker} gets no work: {'; '.join(event.reasons)}"
        case WorkerLost():
            again = f"; again: {', '.join(event.shards)}" if event.shards else ""
            yield f"worker {event.worker} is lost{again}"
        case ShardAgain():
            yield f"{event.file} again, {event.reason} on {event.worker}"
        case StorageAway():
            yield f"the shared storage does not work, trying again: {event.reason}"


def worker_table(pace: Pace, now: float) -> Any:
    """Returns a table with the finished shards, the rate and the present shard of each worker."""
    rows = [
        (name, str(each.shards), f"{each.rate.at(now) / 1e6:,.0f} MB/s", each.at or "-")
        for name, each in sorted(pace.workers.items())
    ]
    if not rows:
        return ""
    if len(rows) > _ROWS:
        rows = [*rows[:_ROWS], (f"and {len(rows) - _ROWS} more", "", "", "")]
    from dsv4recipe.cli.tables import table

    return table(("worker", "shards", "rate", "at"), rows, right=(1, 2))
