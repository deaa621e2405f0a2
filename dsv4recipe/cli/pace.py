"""Floor 6, cli. How fast a build goes, in all and per worker, from its events. This module is pure: the clock is
told."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from dsv4recipe.builder.events import Progress

_WINDOW = 30.0
"""Seconds over which a rate is taken."""


@dataclass(slots=True)
class Rate:
    """Bytes per second over the last half minute."""

    _steps: deque[tuple[float, int]] = field(default_factory=deque)

    def add(self, now: float, size: int) -> None:
        self._steps.append((now, size))

    def at(self, now: float) -> float:
        while self._steps and self._steps[0][0] < now - _WINDOW:
            self._steps.popleft()
        if not self._steps:
            return 0.0
        return sum(size for _, size in self._steps) / max(1.0, now - self._steps[0][0])


@dataclass(slots=True)
class WorkerPace:
    """What one worker did: shards made, the shard it is at, its rate."""

    shards: int = 0
    at: str = ""
    rate: Rate = field(default_factory=Rate)


@dataclass(slots=True)
class Pace:
    """A build on workers, as its events tell it."""

    total: int = 0
    shards: int = 0
    written: int = 0
    done: int = 0
    workers: dict[str, WorkerPace] = field(default_factory=dict)
    rate: Rate = field(default_factory=Rate)

    def hear(self, event: dict[str, Any], now: float) -> None:
        worker = self.workers.setdefault(event["worker"], WorkerPace()) if event.get("worker") else WorkerPace()
        match event["event"]:
            case "plan_loaded":
                self.total, self.shards = event["bytes"], event["shards"]
            case "resumed":
                self.written, self.done = event["bytes"], event["shards"]
            case "shard_started":
                worker.at = event["file"]
            case "written":
                self.written += event["bytes"]
                self.rate.add(now, event["bytes"])
                worker.rate.add(now, event["bytes"])
                worker.at = event["file"]
            case "shard_done":
                self.done += 1
                worker.shards += 1
                worker.at = "" if worker.at == event["file"] else worker.at
            case "worker_lost" | "worker_refused":
                self.workers.pop(event["worker"], None)

    def seconds_left(self, now: float) -> float | None:
        """At the present rate; None while there is none."""
        rate = self.rate.at(now)
        return max(0, self.total - self.written) / rate if rate else None

    def event(self, now: float) -> dict[str, Any]:
        """Returns all of it as one JSON event."""
        left = self.seconds_left(now)
        return Progress(
            shards=self.done,
            of=self.shards,
            bytes=self.written,
            bytes_per_second=round(self.rate.at(now)),
            seconds_left=None if left is None else round(left),
            workers={
                name: {"shards": each.shards, "file": each.at, "bytes_per_second": round(each.rate.at(now))}
                for name, each in sorted(self.workers.items())
            },
        ).data()
