"""Floor 4, builder, cluster. Which worker gets which shard next. This module is pure: workers, times and failures are
told to it.

A worker has at most `AHEAD` shards: one in work, and one at hand so that it never waits for the wire. Every hand-out is
an *attempt* with a number of its own, bound to one worker: a death voids that worker's attempts and nothing else.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import median

AHEAD = 2
SLOW = 3.0
"""A shard in work for so many times the median gets a second worker, if one has nothing else to do."""
SLOW_AT_LEAST = 10.0
"""Seconds. Below that, a second attempt would mostly measure noise."""
PAUSES = (1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds that a worker gets no work after its first, second, … failure in a row."""


@dataclass(slots=True)
class Attempt:
    """A shard handed to a worker. `began` is when its work began, None while it waits there."""

    number: int
    shard: str
    worker: str
    began: float | None = None


@dataclass(slots=True)
class _Worker:
    attempts: list[Attempt] = field(default_factory=list)
    failures: int = 0
    rest_until: float = 0.0


class Schedule:
    """Every shard is done once; how often it is attempted does not matter.

    `withdrawn` collects attempts that are for nothing by now: whoever runs the schedule stops them and empties it.
    `deaths` holds, per shard, the workers that died while they had it in work.
    """

    def __init__(self, shards: Iterable[str]) -> None:
        self.waiting = deque(shards)
        self.left = set(self.waiting)
        self.workers: dict[str, _Worker] = {}
        self.deaths: dict[str, list[str]] = {}
        self.withdrawn: list[Attempt] = []
        self._open: dict[int, Attempt] = {}
        self._numbers = 0
        self._seconds: list[float] = []

    def attempt(self, number: int) -> Attempt | None:
        """Returns an attempt that still counts."""
        return self._open.get(number)

    def stop(self) -> list[Attempt]:
        """Returns the attempts that counted until now. None does from now on."""
        stopped = list(self._open.values())
        for attempt in stopped:
            self._close(attempt)
        return stopped

    def join(self, worker: str) -> None:
        self.workers.setdefault(worker, _Worker())

    def lose(self, worker: str) -> list[Attempt]:
        """Returns the attempts that a worker took with it; their shards are handed out again."""
        gone = self.workers.pop(worker, _Worker()).attempts
        for attempt in gone:
            if attempt.began is not None:
                self.deaths.setdefault(attempt.shard, []).append(worker)
            self._close(attempt)
        for attempt in sorted(gone, key=lambda each: each.number, reverse=True):
            self._again(attempt.shard)
        return gone

    def begin(self, number: int, now: float) -> None:
        attempt = self._open.get(number)
        if attempt is not None:
            attempt.began = now

    def done(self, attempt: Attempt, now: float) -> bool:
        """Returns whether this attempt was the first to make its shard."""
        self._close(attempt)
        if attempt.worker in self.workers:
            self.workers[attempt.worker].failures = 0
        if attempt.began is not None:
            self._seconds.append(now - attempt.began)
        first = attempt.shard in self.left
        self.left.discard(attempt.shard)
        for twin in [each for each in self._open.values() if each.shard == attempt.shard]:
            self._withdraw(twin)
        return first

    def fail(self, attempt: Attempt, now: float) -> None:
        """An attempt failed for a reason that may pass: its worker rests, its shard may go to another one."""
        self._close(attempt)
        worker = self.workers.get(attempt.worker)
        if worker is not None:
            worker.rest_until = now + PAUSES[min(worker.failures, len(PAUSES) - 1)]
            worker.failures += 1
        self._again(attempt.shard)

    def next(self, now: float) -> list[Attempt]:
        """Returns the attempts to start now, the emptiest workers first."""
        ready = [(name, worker) for name, worker in self.workers.items() if worker.rest_until <= now]
        made = []
        for depth in range(AHEAD):
            for name, worker in ready:
                if self.waiting and len(worker.attempts) == depth:
                    made.append(self._hand_out(self.waiting.popleft(), name))
        idle = [name for name, worker in ready if not worker.attempts]
        late = self._late(now) if idle else []
        for name, attempt in zip(idle, late, strict=False):
            if attempt.began is None:
                self._withdraw(attempt)
            made.append(self._hand_out(attempt.shard, name))
        return made

    def _late(self, now: float) -> list[Attempt]:
        """Returns what idle workers should make too: shards that wait elsewhere, then those in work for far too long.
        At most two workers have the same one in work."""
        limit = max(SLOW_AT_LEAST, SLOW * median(self._seconds)) if self._seconds else float("inf")
        have = Counter(each.shard for each in self._open.values())
        begun = [each for each in self._open.values() if each.began is not None]
        busy = {each.worker for each in begun}
        behind = [each for each in self._open.values() if each.began is None and each.worker in busy]
        slow = [each for each in begun if each.began is not None and now - each.began > limit]
        return behind + [each for each in slow if have[each.shard] == 1]

    def _hand_out(self, shard: str, worker: str) -> Attempt:
        self._numbers += 1
        attempt = Attempt(self._numbers, shard, worker)
        self._open[attempt.number] = attempt
        self.workers[worker].attempts.append(attempt)
        return attempt

    def _withdraw(self, attempt: Attempt) -> None:
        self._close(attempt)
        self.withdrawn.append(attempt)

    def _close(self, attempt: Attempt) -> None:
        self._open.pop(attempt.number, None)
        worker = self.workers.get(attempt.worker)
        if worker is not None and attempt in worker.attempts:
            worker.attempts.remove(attempt)

    def _again(self, shard: str) -> None:
        elsewhere = any(each.shard == shard for each in self._open.values())
        if shard in self.left and not elsewhere and shard not in self.waiting:
            self.waiting.appendleft(shard)
