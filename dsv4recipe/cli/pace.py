"""Floor 6, cli. How fast a build goes, in all and per worker, and how long it still takes, from its events. Pure: the
clock is told.

Time that goes into compiling the encoders counts for no rate: it comes once, and bytes do not wait for it at its speed.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from dsv4recipe.builder.events import (
    Compiled,
    Compiling,
    Event,
    PlanLoaded,
    Progress,
    Resumed,
    ShardDone,
    ShardStarted,
    WorkerLost,
    WorkerRefused,
    Written,
)

_WINDOW = 30.0
"""Seconds over which a rate is taken."""
_ENOUGH, _SOON = 0.01, 5.0
"""A rate says how long it takes from this share of the work on, or after so many seconds."""


@dataclass(slots=True)
class Rate:
    """Bytes, or work, per second over the last half minute."""

    _steps: deque[tuple[float, float]] = field(default_factory=deque)

    def add(self, now: float, size: float) -> None:
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
    """A build, as its events tell it. Sizes are bytes; `work` is what the bar counts, and equals the bytes but for
    types of number that are slow to find. `weights` is how many weights the plan has."""

    weights: int = 0
    total: int = 0
    shards: int = 0
    written: int = 0
    there: int = 0
    done: int = 0
    all_work: float = 0.0
    work: float = 0.0
    expected: float | None = None
    begun: float = 0.0
    paused: float = 0.0
    compiling: float | None = None
    workers: dict[str, WorkerPace] = field(default_factory=dict)
    rate: Rate = field(default_factory=Rate)
    work_rate: Rate = field(default_factory=Rate)

    def hear(self, event: Event, now: float) -> None:
        name = getattr(event, "worker", "")
        worker = self.workers.setdefault(name, WorkerPace()) if name else WorkerPace()
        match event:
            case PlanLoaded():
                self.total, self.shards, self.begun = event.bytes, event.shards, now
                self.all_work, self.expected = event.work, event.seconds
            case Resumed():
                self.there += event.bytes
                self.written += event.bytes
                self.work += event.work
                self.done = max(self.done, event.shards)
            case Compiling():
                self.compiling = now
            case Compiled():
                self.paused += 0.0 if self.compiling is None else now - self.compiling
                self.compiling = None
            case ShardStarted():
                worker.at = event.file
            case Written():
                self._written(event, worker, now)
            case ShardDone():
                self.done += 1
                worker.shards += 1
                worker.at = "" if worker.at == event.file else worker.at
            case WorkerLost() | WorkerRefused():
                self.workers.pop(event.worker, None)

    def _written(self, event: Written, worker: WorkerPace, now: float) -> None:
        self.written += event.bytes
        self.work += event.work
        worker.at = event.file
        if self.compiling is None:  # copies go on meanwhile, and say nothing of what comes
            moment = self.clock(now)
            self.rate.add(moment, event.bytes)
            self.work_rate.add(moment, event.work)
            worker.rate.add(moment, event.bytes)

    def clock(self, now: float) -> float:
        """Returns the time without that of compiling."""
        return (now if self.compiling is None else self.compiling) - self.paused

    def share(self) -> float:
        """Returns how much of the work is done, from 0 to 1."""
        if self.shards and self.done >= self.shards:
            return 1.0
        return min(1.0, self.work / self.all_work) if self.all_work else 0.0

    def seconds_left(self, now: float) -> float | None:
        """Returns how long it takes at the present rate, or as the plan was measured; None while there is neither."""
        left = max(0.0, self.all_work - self.work)
        rate = self.work_rate.at(self.clock(now))
        if rate and (self.share() >= _ENOUGH or self.clock(now) - self.begun >= _SOON):
            return left / rate
        return self.expected * left / self.all_work if self.expected and self.all_work else None

    def bytes_per_second(self, now: float) -> float:
        return self.rate.at(self.clock(now))

    def weights_per_second(self, now: float) -> float:
        """Returns weights in the ratio in which the whole bundle has them to bytes."""
        return self.bytes_per_second(now) * self.weights / self.total if self.total else 0.0

    def average(self, now: float) -> float:
        """Returns bytes per second from the beginning, compiling included; what was there already does not count."""
        return (self.written - self.there) / max(1e-9, now - self.begun)

    def event(self, now: float) -> dict[str, Any]:
        """Returns all of it as one JSON event."""
        left = self.seconds_left(now)
        return Progress(
            shards=self.done,
            of=self.shards,
            bytes=self.written,
            bytes_per_second=round(self.bytes_per_second(now)),
            seconds_left=None if left is None else round(left),
            workers={
                name: {"shards": each.shards, "file": each.at, "bytes_per_second": round(each.rate.at(self.clock(now)))}
                for name, each in sorted(self.workers.items())
            },
        ).data()
