"""The schedule: whatever joins, dies, fails or is late, every shard is done once and no worker has too many."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from dsv4recipe.builder.cluster.schedule import AHEAD, SLOW_AT_LEAST, Attempt, Schedule


def attempts_of(schedule: Schedule) -> list[Attempt]:
    return [attempt for worker in schedule.workers.values() for attempt in worker.attempts]


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 30), st.integers(1, 6))
def test_every_shard_is_done_once_whatever_happens(seed: int, shards: int, workers: int) -> None:
    rng = random.Random(seed)
    schedule = Schedule([f"s{n}" for n in range(shards)])
    done: list[str] = []
    now, names = 0.0, 0
    for _ in range(workers):
        names += 1
        schedule.join(f"w{names}")
    for step in range(20_000):
        if not schedule.left:
            break
        now += rng.choice((0.1, 1.0, 20.0))
        schedule.next(now)
        schedule.withdrawn.clear()
        open_now = attempts_of(schedule)
        assert all(len(worker.attempts) <= AHEAD for worker in schedule.workers.values())
        assert {attempt.shard for attempt in open_now} <= schedule.left
        assert {attempt.shard for attempt in open_now} | set(schedule.waiting) == schedule.left
        if not schedule.workers or rng.random() < 0.05:
            names += 1
            schedule.join(f"w{names}")
        if not open_now:
            continue
        attempt = rng.choice(open_now)
        event = rng.random()
        calm = step > 2_000
        if event < 0.4:
            schedule.begin(attempt.number, now)
        elif event < 0.7 or calm:
            if schedule.done(attempt, now):
                done.append(attempt.shard)
        elif event < 0.85:
            schedule.fail(attempt, now)
        else:
            gone = schedule.lose(attempt.worker)
            assert attempt in gone
            assert schedule.attempt(attempt.number) is None
    assert sorted(done) == sorted(f"s{n}" for n in range(shards))
    assert attempts_of(schedule) == []


def test_a_death_counts_against_what_was_in_work_and_not_against_what_waited() -> None:
    schedule = Schedule(["a", "b", "c"])
    schedule.join("w")
    first, second = schedule.next(0.0)
    schedule.begin(first.number, 1.0)
    assert [attempt.shard for attempt in schedule.lose("w")] == ["a", "b"]
    assert schedule.deaths == {"a": ["w"]}
    assert list(schedule.waiting) == ["a", "b", "c"]
    assert second.began is None


def test_an_idle_worker_takes_what_waits_behind_a_busy_one_then_doubles_what_is_far_too_slow() -> None:
    schedule = Schedule(["a", "b", "c"])
    schedule.join("busy")
    for attempt in schedule.next(0.0):
        schedule.begin(attempt.number, 0.0)
    quick = attempts_of(schedule)[0]
    schedule.done(quick, 1.0)
    (waits,) = schedule.next(1.0)
    assert waits.shard == "c"
    schedule.join("idle")
    (moved,) = schedule.next(1.5)
    assert (moved.shard, moved.worker) == ("c", "idle")
    assert schedule.withdrawn == [waits]
    schedule.begin(moved.number, 1.5)
    schedule.done(moved, 2.0)
    assert schedule.next(2.5) == []
    (double,) = schedule.next(SLOW_AT_LEAST + 1)
    assert (double.shard, double.worker) == ("b", "idle")
    assert schedule.next(1000.0) == []
    schedule.withdrawn.clear()
    assert schedule.done(double, 1000.5)
    assert [attempt.worker for attempt in schedule.withdrawn] == ["busy"]


def test_a_worker_that_fails_rests_longer_each_time() -> None:
    schedule = Schedule(["a"])
    schedule.join("w")
    now, rests = 0.0, []
    for _ in range(4):
        (attempt,) = schedule.next(now)
        schedule.fail(attempt, now)
        begin = now
        while not (ready := schedule.next(now)):
            now += 0.5
        rests.append(now - begin)
        schedule.fail(ready[0], now)
        now = schedule.workers["w"].rest_until
    assert rests == sorted(rests)
    assert rests[0] >= 1.0
