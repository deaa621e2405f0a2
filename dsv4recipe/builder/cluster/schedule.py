"""Floor 4, builder, cluster. Decides which worker gets which shard next. It is pure: the caller reports workers, times
and failures.

A worker has at most `AHEAD` shards: one in work, and one waiting so that it never idles. Every hand-out is an *attempt*
with its own number, bound to one worker. If a worker dies, only its attempts become void.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import median

AHEAD = 2
SLOW = 3.0
"""A shard that takes this many times the median gets a second worker, if one is idle."""
SLOW_AT_LEAST = 10.0
"""Seconds; for shorter shards a second attempt would mostly react to noise."""
PAUSES = (1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds that a worker pauses after its first, second, … failure in a row."""


@dataclass(slots=True)
class Attempt:
    """A shard given to a worker. `began` is when the work began, or None while the shard waits there."""

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
    """Assigns shards. Every shard is finished once, no matter how often it is attempted.

    `withdrawn` collects attempts that are no longer needed; the caller cancels them and empties the list. `deaths`
    holds, per shard, the workers that died while they worked on it.
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
        """Returns an attempt if it still counts, otherwise None."""
        return self._open.get(number)

    def stop(self) -> list[Attempt]:
        """Cancels all attempts that still count, and returns them."""
        stopped = list(self._open.values())
        for attempt in stopped:
            self._close(attempt)
        return stopped

    def join(self, worker: str) -> None:
        self.workers.setdefault(worker, _Worker())

    def lose(self, worker: str) -> list[Attempt]:
        """Returns the attempts that are lost with a worker; their shards are assigned again."""
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
        """Handles an attempt that failed for a passing reason: its worker pauses, its shard may go to another one."""
        self._close(attempt)
        worker = self.workers.get(attempt.worker)
        if worker is not None:
            worker.rest_until = now + PAUSES[min(worker.failures, len(PAUSES) - 1)]
            worker.failures += 1
        self._again(attempt.shard)

    def next(self, now: float) -> list[Attempt]:
        """Returns the attempts to start now; the workers with the least work come first."""
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
        """Returns second attempts for idle workers: shards that wait elsewhere, then those that have taken far too
        long. At most two workers have the same shard in work."""
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
