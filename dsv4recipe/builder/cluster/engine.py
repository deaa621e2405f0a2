"""Floor 4, builder, cluster. The Dask engine: hands shards to workers and tells the build what they made.

Dask is used as hands and wires only. Every task is bound to one worker and has a key of its own, so that none of
Dask's own decisions about failures, stealing or retries, nor their settings on somebody's scheduler, can lose or repeat
work: docs/scale-out.md says which and why. Imports distributed.
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from distributed import Client, Future

from dsv4recipe.builder import disk, lease
from dsv4recipe.builder.cluster import worker as remote
from dsv4recipe.builder.cluster.connect import connected
from dsv4recipe.builder.cluster.job import Job, facts
from dsv4recipe.builder.cluster.members import Members
from dsv4recipe.builder.cluster.schedule import Attempt, Schedule
from dsv4recipe.builder.cluster.storage import Storage
from dsv4recipe.builder.engine import Done, Opened, Progressed, Started
from dsv4recipe.builder.journal import Entry
from dsv4recipe.builder.shard import OpenShard, ShardTask, temporary_mark
from dsv4recipe.builder.sources import Reader, Sources
from dsv4recipe.errors import Diagnostic, RecipeError, Where
from dsv4recipe.importance.model import Importance

Event = dict[str, Any]
_TICK = 0.1
_ENDING = 15.0
"""Seconds that attempts which are for nothing get to end before the folder is swept without them."""


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds without any success before the build gives up, resumable: while the storage fails, and while there is no
    worker. `deaths`: of workers that had one and the same shard in work."""

    storage: float = 600.0
    workers: float = 300.0
    deaths: int = 10


@dataclass(frozen=True)
class DaskEngine:
    """An `Engine`. `scheduler` is the address of one, or a scheduler file; "" starts workers on this machine.

    `on_event` gets cluster, worker_joined, worker_refused, worker_lost and shard_again beside what the build tells.
    """

    scheduler: str = ""
    on_event: Callable[[Event], None] = lambda event: None
    patience: Patience = field(default_factory=Patience)

    def __call__(
        self,
        tasks: Iterable[ShardTask],
        folder: Path,
        sources: Reader,
        importance: Importance | None,
        workers: int,
        started: Started,
        progressed: Progressed,
        done: Done,
        opened: Opened = OpenShard,
    ) -> None:
        """Makes the shards; with a scheduler of our own, by `workers` processes. Raises RecipeError B05x, and what a
        worker found: B0xx, with its name."""
        if opened is not OpenShard:
            message = "a cluster cannot build one large file in this version"
            raise RecipeError("B058", message, Where(str(folder)), "use --engine local")
        if not isinstance(sources, Sources) or importance is not None:
            what = "an importance file" if importance is not None else "a source on the hub"
            hint = "use --engine local" + (
                "" if importance is not None else ", or a source folder that all workers see"
            )
            raise RecipeError("B058", f"a cluster cannot build with {what} in this version", hint=hint)
        light: dict[str, ShardTask] = {}
        files: set[str] = set()
        for task in tasks:
            files |= {span.file for piece in task.pieces for span in (piece.weight, piece.scale) if span}
            light[task.file] = replace(task, header=b"", constants=(), pieces=())
        if not light:
            return
        sources.watch(sorted(files))
        root, place = (os.path.abspath(path) for path in (sources.root, folder))
        job = Job(root, place, lease.token_of(folder), tuple(sorted(sources.sha256.items())))
        mine = facts(job, 1)
        with connected(self.scheduler, workers) as client:
            _Run(client, job, mine, light, self, started, progressed, done).run()


class _Run:
    """One call of the engine."""

    def __init__(
        self,
        client: Client,
        job: Job,
        mine: dict[str, str],
        tasks: dict[str, ShardTask],
        engine: DaskEngine,
        started: Started,
        progressed: Progressed,
        done: Done,
    ) -> None:
        self.client, self.job, self.tasks, self.engine = client, job, tasks, engine
        self.started, self.progressed, self.done = started, progressed, done
        self.inbox: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self.schedule = Schedule(tasks)
        self.storage = Storage(Path(job.folder), engine.patience.storage, self._tell)
        self.address = str(client.scheduler_info(n_workers=1)["address"])
        self.members = Members(client, self.address, job, mine, self.inbox, engine.patience.workers, self._tell)
        self.futures: dict[int, Future[None]] = {}
        self.ending: dict[int, Attempt] = {}
        self.told = dict.fromkeys(tasks, 0)
        self.said: set[str] = set()

    def run(self) -> None:
        self._tell({"event": "cluster", "scheduler": self.address, "dashboard": str(self.client.dashboard_link)})
        self.client.subscribe_topic(self.job.topic, lambda event: self.inbox.put(event[1]))
        try:
            self.members.gather()
            while self.schedule.left:
                self._look()
                self._hand_out()
                self._hear(_TICK)
        finally:
            self._end()

    def _look(self) -> None:
        """Takes in who came and went."""
        came, went = self.members.look()
        for name in went:
            gone = self.schedule.lose(name)
            for attempt in gone:
                self._forget(attempt.number)
                task = self.tasks[attempt.shard]
                mark = temporary_mark(task.task, str(attempt.number))
                with contextlib.suppress(OSError):
                    disk.sweep(Path(self.job.folder), f".{task.file}.{mark}*.tmp")
            lost = [attempt.shard for attempt in gone if attempt.began is not None]
            self._tell({"event": "worker_lost", "worker": short(name), "shards": lost})
        for name in came:
            self.schedule.join(name)
        for shard, workers in self.schedule.deaths.items():
            if len(workers) >= self.engine.patience.deaths:
                names = ", ".join(short(name) for name in workers)
                raise RecipeError(
                    "B055", f"{len(workers)} workers died while they made {shard}: {names}", Where(self.job.folder),
                    "look into a worker's log: memory is the usual reason; then build again, with either engine",
                )  # fmt: skip

    def _hand_out(self) -> None:
        for attempt in self.schedule.next(time.monotonic()):
            task = self.tasks[attempt.shard]
            self.futures[attempt.number] = self.client.submit(
                remote.make_shard, self.job, task.file, task.task, attempt.number,
                key=(self.job.topic, attempt.number), workers=[attempt.worker], allow_other_workers=False, pure=False,
            )  # fmt: skip
            self._watch(attempt.number)
        withdrawn, self.schedule.withdrawn = self.schedule.withdrawn, []
        for attempt in withdrawn:
            if attempt.began is not None:
                self._to_end(attempt)
            else:
                self.futures[attempt.number].cancel()
                self._forget(attempt.number)

    def _watch(self, number: int) -> None:
        self.futures[number].add_done_callback(
            lambda future: self.inbox.put({"kind": "over", "number": number, "status": future.status})
        )

    def _hear(self, patience: float) -> None:
        """Handles the messages that are there, waiting for the first."""
        try:
            message = self.inbox.get(timeout=patience)
            while True:
                self._handle(message)
                message = self.inbox.get_nowait()
        except queue.Empty:
            pass

    def _handle(self, message: dict[str, Any]) -> None:
        if message["kind"] == "checked":
            self.members.checked(message)
            return
        attempt = self.schedule.attempt(message["number"])
        if attempt is not None:
            self._handle_open(attempt, message)
        elif message["kind"] == "began":  # it was withdrawn a moment too late
            self._to_end(Attempt(message["number"], "", message["worker"]))
        elif message["kind"] != "written":
            self._forget(message["number"])

    def _handle_open(self, attempt: Attempt, message: dict[str, Any]) -> None:
        """A message of an attempt that still counts."""
        now = time.monotonic()
        match message["kind"]:
            case "began":
                self.schedule.begin(attempt.number, now)
                if attempt.shard not in self.said:
                    self.said.add(attempt.shard)
                    self.started(self.tasks[attempt.shard], short(attempt.worker))
            case "written":
                self._progress(attempt, message["bytes"])
            case "done":
                self._done(attempt, Entry(**message["entry"]), now)
            case "failed" if self.storage.may_pass(message["errno"]):
                error = _error(message["diagnostics"], attempt.worker)
                self._again(attempt, now, error.diagnostics[0].message)
                self.storage.failed(error)
            case "failed":
                raise _error(message["diagnostics"], attempt.worker)
            case "crashed":
                self._crashed(attempt, message["traceback"])
            case "stopped":
                self._again(attempt, now, "the output folder was not to be seen")
                self.storage.failed(RecipeError("B011", "the lease is not to be seen", Where(self.job.folder)))
            case "over":  # without a word from the worker: it is dead, or cut off, or cannot run us
                self._over(attempt, now)

    def _done(self, attempt: Attempt, entry: Entry, now: float) -> None:
        task = self.tasks[attempt.shard]
        if (entry.task, entry.size) != (task.task, task.size):
            raise RecipeError("B053", f"{short(attempt.worker)} made another {entry.file} than was asked for")
        self._forget(attempt.number)
        if self.schedule.done(attempt, now):
            self._progress(attempt, task.size)
            self.storage.patiently(lambda: self.done(entry, short(attempt.worker)))

    def _progress(self, attempt: Attempt, written: int) -> None:
        more = written - self.told[attempt.shard]
        if more > 0:
            self.told[attempt.shard] = written
            self.progressed(self.tasks[attempt.shard], more, short(attempt.worker))

    def _again(self, attempt: Attempt, now: float, reason: str) -> None:
        self._forget(attempt.number)
        self.schedule.fail(attempt, now)
        self._tell({"event": "shard_again", "file": attempt.shard, "worker": short(attempt.worker), "reason": reason})

    def _over(self, attempt: Attempt, now: float) -> None:
        """Its worker died, is cut off, or could not run the task: only the last is nobody's fault but ours."""
        error = self.futures[attempt.number].exception() if self.futures[attempt.number].status == "error" else None
        if error is not None and not type(error).__module__.startswith("distributed"):
            self._crashed(attempt, repr(error)[:4000])
        self.members.look_again()
        self._again(attempt, now, "its task ended without a result")

    def _crashed(self, attempt: Attempt, what: str) -> None:
        message = f"an unexpected error on worker {short(attempt.worker)} while it made {attempt.shard}"
        hint = "build again, with either engine; report this if it stays"
        raise RecipeError("B057", message, Where(self.job.folder), hint, what.splitlines())

    def _to_end(self, attempt: Attempt) -> None:
        self.ending[attempt.number] = attempt
        self._stop([attempt.worker], [attempt.number])

    def _stop(self, workers: list[str], numbers: list[int]) -> None:
        """Tells workers that attempts are for nothing, without waiting: one that stands still would never answer."""
        marks = [(self.job.topic, number) for number in numbers]

        def tell() -> None:
            with contextlib.suppress(Exception):
                self.client.run(remote.stop, marks, workers=workers, on_error="ignore")

        threading.Thread(target=tell, name="stop", daemon=True).start()

    def _forget(self, number: int) -> None:
        """Lets go of an attempt's future: Dask keeps no result, and computes none again."""
        self.ending.pop(number, None)
        future = self.futures.pop(number, None)
        if future is not None:
            future.release()

    def _end(self) -> None:
        """Stops what is still in work, waits for it, and sweeps what it leaves. Raises nothing of its own."""
        running = self.schedule.stop()
        self.ending |= {attempt.number: attempt for attempt in running if attempt.began is not None}
        with contextlib.suppress(RecipeError, OSError):
            if running or self.ending:
                self._stop(sorted({attempt.worker for attempt in (*running, *self.ending.values())}), [0])
            end = time.monotonic() + _ENDING
            while self.ending and time.monotonic() < end:
                present = self.members.present()
                for attempt in list(self.ending.values()):
                    if attempt.worker not in present:
                        self._forget(attempt.number)
                self._hear(_TICK)
        with contextlib.suppress(OSError):
            disk.sweep(Path(self.job.folder))

    def _tell(self, event: Event) -> None:
        self.engine.on_event(event)


def short(worker: str) -> str:
    """tcp://10.0.0.3:41234 → 10.0.0.3:41234"""
    return worker.rpartition("://")[2]


def _error(diagnostics: list[dict[str, Any]], worker: str) -> RecipeError:
    """A worker's refusal, with its name."""
    found = []
    for each in diagnostics:
        notes = (*each["notes"], f"on worker {short(worker)}")
        found.append(Diagnostic(**{**each, "where": Where(**each["where"]), "notes": notes}))
    return RecipeError.of(found)
