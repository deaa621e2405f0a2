"""Floor 4, builder, cluster. Runs on a worker: first the check, then one shard at a time.

No weights travel. A worker reads the source and writes the shard, and sends only events of a few hundred bytes.
Imports distributed.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from distributed import get_worker

from dsv4recipe.builder.cluster.job import NO_FOLDER, Job, appeared, facts, is_ours, opened
from dsv4recipe.builder.engine import Listener, Opened, Work
from dsv4recipe.builder.journal import Entry
from dsv4recipe.builder.local import run_shards
from dsv4recipe.builder.shard import OpenShard, ShardTask
from dsv4recipe.builder.tasks import shard_tasks
from dsv4recipe.errors import RecipeError, Where
from dsv4recipe.files import disk
from dsv4recipe.files.atomic import write_file
from dsv4recipe.files.sources import Sources

PULSE = 1.0
"""Seconds between messages about written bytes, and between checks of the lease."""

_one_shard: dict[str, threading.Lock] = defaultdict(threading.Lock)
"""One lock per worker, so that a second task waits. Then a death costs one shard, and memory is that of one build."""
_opening = threading.Lock()
_stopped: set[tuple[str, int]] = set()


class StoppedError(Exception):
    """The result of this attempt is no longer needed."""


def check(job: Job, mark: str, secret: str) -> dict[str, Any]:
    """Returns what this worker sees. Reads the file that the client wrote at `mark`, and writes one beside it with
    `secret` and the worker's name, for the client to read. `answer` is the name of that file, or "" if the first could
    not be read."""
    worker = get_worker()
    with _opening:
        found = facts(job, worker.state.nthreads)
    shared = Path(job.folder, mark)
    answer = ""
    try:
        if NO_FOLDER not in found and appeared(shared) == secret.encode():
            answer = disk.temporary(shared.with_name("answer")).name
            write_file(shared.with_name(answer), f"{secret} {worker.address}".encode())
    except RecipeError as error:
        found["writing into the output folder"] = error.diagnostics[0].message
    return {"facts": found, "answer": answer}


def stop(attempts: Iterable[tuple[str, int]]) -> None:
    """Cancels attempts, given as (topic, number); number 0 means all of a build."""
    _stopped.update(attempts)


def make_shard(job: Job, file: str, task: str, number: int) -> None:
    """Makes one shard durable under its name and sends messages: `began`, `written`, then `done` or `failed`."""
    worker = get_worker()

    def send(kind: str, **more: Any) -> None:
        worker.log_event(job.topic, {"kind": kind, "number": number, "worker": worker.address, **more})

    try:
        with _alone(worker.address, lambda: _check_wanted(job, number)):
            send("began")
            began = time.monotonic()
            entry = _make(job, file, task, worker.state.nthreads, _Pulse(job, number, send))
            send("done", entry=asdict(entry), seconds=time.monotonic() - began)
    except StoppedError:
        send("stopped")
    except RecipeError as error:
        cause = error.__cause__
        reason = cause.errno if isinstance(cause, OSError) else None
        send("failed", diagnostics=[each.as_json() for each in error.diagnostics], errno=reason)
    except Exception:
        send("crashed", traceback=traceback.format_exc()[-4000:])


def _make(job: Job, file: str, task: str, threads: int, pulse: _Pulse) -> Entry:
    with _opening:
        plan, checkpoint, importance = opened(job)
    others = frozenset(shard.file for shard in plan.shards) - {file}
    tasks = list(shard_tasks(plan, checkpoint, others))
    if [each.task for each in tasks] != [task]:
        raise RecipeError("B053", f"this worker would make another {file} than the build needs", Where(job.folder))
    with Sources(checkpoint.folder.root, dict(job.sha256)) as sources:
        work = Work(tasks, Path(job.folder), sources, importance, threads, _fenced(pulse), zeros=job.zeros)
        run_shards(work, pulse)
        sources.check_unchanged()
    return pulse.made[0]


def _fenced(pulse: _Pulse) -> Opened:
    """Returns a function that opens shards which check once more that they are needed before they take their name. A
    worker that was asleep or cut off may find that another build owns the folder."""

    class Fenced(OpenShard):
        def _publish(self) -> None:
            try:
                pulse.check()
                super()._publish()
            except BaseException:
                disk.discard(self._temp)
                raise

    return partial(Fenced, mark=str(pulse.number))


class _Pulse(Listener):
    """Sends the number of written bytes, and stops the attempt when it is no longer needed, both from time to time.
    `made` is the finished shard."""

    def __init__(self, job: Job, number: int, send: Callable[..., None]) -> None:
        self.job, self.number, self.send = job, number, send
        self.written = 0
        self.told = time.monotonic()
        self.made: list[Entry] = []

    def done(self, entry: Entry, /, *_: object) -> None:
        self.made.append(entry)

    def progressed(self, _task: ShardTask, size: int, /, *_: object) -> None:
        self.written += size
        if time.monotonic() - self.told > PULSE:
            self.told = time.monotonic()
            self.check()
            self.send("written", bytes=self.written)

    def check(self) -> None:
        _check_wanted(self.job, self.number)
        if not is_ours(self.job):
            raise StoppedError


def _check_wanted(job: Job, number: int) -> None:
    if _stopped & {(job.topic, 0), (job.topic, number)}:
        raise StoppedError


class _alone:  # noqa: N801 - a context manager
    """Waits for the worker's other shard, but only while this one is needed."""

    def __init__(self, worker: str, check: Callable[[], None]) -> None:
        self.lock, self.check = _one_shard[worker], check

    def __enter__(self) -> None:
        while not self.lock.acquire(timeout=PULSE):
            self.check()
        try:
            self.check()
        except BaseException:
            self.lock.release()
            raise

    def __exit__(self, *_: object) -> None:
        self.lock.release()
