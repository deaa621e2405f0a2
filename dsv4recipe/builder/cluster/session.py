"""Floor 4, builder, cluster. Runs one build on a cluster: assigns shards, receives messages, reports to the build.

A single thread does everything; messages from workers wait in the inbox. Imports distributed.
"""

from __future__ import annotations

import contextlib
import queue
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from distributed import Client

from dsv4recipe.builder.cluster.answers import crash, deadly, refusal, short
from dsv4recipe.builder.cluster.hands import Hands
from dsv4recipe.builder.cluster.job import Job
from dsv4recipe.builder.cluster.members import Members
from dsv4recipe.builder.cluster.patience import Patience
from dsv4recipe.builder.cluster.schedule import Attempt, Schedule
from dsv4recipe.builder.cluster.storage import Storage
from dsv4recipe.builder.engine import Listener
from dsv4recipe.builder.events import Cluster, ShardAgain, WorkerLost
from dsv4recipe.builder.journal import Entry
from dsv4recipe.builder.shard import ShardTask, temporary_mark
from dsv4recipe.errors import RecipeError, Where
from dsv4recipe.files import disk

_TICK = 0.1
_ENDING = 15.0
"""Seconds that cancelled attempts get to end before the folder is cleaned without them."""


class Session:
    """One run of the engine. `tasks` are the shards by file, without their pieces."""

    def __init__(
        self,
        client: Client,
        job: Job,
        tasks: dict[str, ShardTask],
        listener: Listener,
        tell: Callable[[dict[str, Any]], None],
        patience: Patience,
    ) -> None:
        self.job, self.tasks, self.listener, self.tell, self.patience = job, tasks, listener, tell, patience
        self.folder = Path(job.folder)
        address = str(client.scheduler_info(n_workers=1)["address"])
        tell(Cluster(scheduler=address, dashboard=str(client.dashboard_link)).data())
        self.inbox: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self.schedule = Schedule(
            sorted(tasks, key=lambda file: -tasks[file].size)
        )  # long shards first, so that none is left for the end
        self.storage = Storage(self.folder, patience.storage, tell)
        self.members = Members(client, address, job, self.inbox, patience.workers, tell)
        self.hands = Hands(client, job, self.inbox)
        self.told = dict.fromkeys(tasks, 0)
        self.said: set[str] = set()

    def run(self) -> None:
        try:
            self.members.gather()
            while self.schedule.left:
                self._look()
                self._hand_out()
                self._hear(_TICK)
        finally:
            self._end()

    def _look(self) -> None:
        """Handles workers that joined or left."""
        came, went = self.members.look()
        for name in went:
            gone = self.schedule.lose(name)
            for attempt in gone:
                self.hands.forget(attempt.number)
                task = self.tasks[attempt.shard]
                mark = temporary_mark(task.task, str(attempt.number))
                with contextlib.suppress(OSError):
                    disk.sweep(self.folder, f".{task.file}.{mark}*.tmp")
            lost = [attempt.shard for attempt in gone if attempt.began is not None]
            self.tell(WorkerLost(worker=short(name), shards=lost).data())
        for name in came:
            self.schedule.join(name)
        for shard, workers in self.schedule.deaths.items():
            if len(workers) >= self.patience.deaths:
                raise deadly(shard, workers, self.job.folder)

    def _hand_out(self) -> None:
        for attempt in self.schedule.next(time.monotonic()):
            self.hands.hand_over(attempt, self.tasks[attempt.shard])
        withdrawn, self.schedule.withdrawn = self.schedule.withdrawn, []
        for attempt in withdrawn:
            self.hands.withdraw(attempt)

    def _hear(self, patience: float) -> None:
        """Handles the messages that have arrived, after waiting for the first."""
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
        elif message["kind"] == "began":  # it was cancelled a moment too late
            self.hands.end(Attempt(message["number"], "", message["worker"]))
        elif message["kind"] != "written":
            self.hands.forget(message["number"])

    def _handle_open(self, attempt: Attempt, message: dict[str, Any]) -> None:
        """Handles a message of an attempt that still counts."""
        now = time.monotonic()
        match message["kind"]:
            case "began":
                self.schedule.begin(attempt.number, now)
                if attempt.shard not in self.said:
                    self.said.add(attempt.shard)
                    self.listener.started(self.tasks[attempt.shard], short(attempt.worker))
            case "written":
                self._progress(attempt, message["bytes"])
            case "done":
                self._done(attempt, Entry(**message["entry"]), now)
            case "failed" if self.storage.may_pass(message["errno"]):
                error = refusal(message["diagnostics"], attempt.worker)
                self._again(attempt, now, error.diagnostics[0].message)
                self.storage.failed(error)
            case "failed":
                raise refusal(message["diagnostics"], attempt.worker)
            case "crashed":
                raise crash(message["traceback"], attempt.shard, attempt.worker, self.job.folder)
            case "stopped":
                self._again(attempt, now, "the output folder could not be seen")
                self.storage.failed(RecipeError("B011", "the lease cannot be seen", Where(self.job.folder)))
            case "over":  # there was no message: the worker is dead, cut off, or cannot run this package
                ours = self.hands.own_error(attempt.number)
                if ours is not None:
                    raise crash(repr(ours)[:4000], attempt.shard, attempt.worker, self.job.folder)
                self.members.look_again()
                self._again(attempt, now, "its task ended without a result")

    def _done(self, attempt: Attempt, entry: Entry, now: float) -> None:
        task = self.tasks[attempt.shard]
        if (entry.task, entry.size) != (task.task, task.size):
            raise RecipeError("B053", f"{short(attempt.worker)} made another {entry.file} than the one requested")
        self.hands.forget(attempt.number)
        if self.schedule.done(attempt, now):
            self._progress(attempt, task.size)
            self.storage.patiently(lambda: self.listener.done(entry, short(attempt.worker)))

    def _progress(self, attempt: Attempt, written: int) -> None:
        more = written - self.told[attempt.shard]
        if more > 0:
            self.told[attempt.shard] = written
            self.listener.progressed(self.tasks[attempt.shard], more, short(attempt.worker))

    def _again(self, attempt: Attempt, now: float, reason: str) -> None:
        self.hands.forget(attempt.number)
        self.schedule.fail(attempt, now)
        self.tell(ShardAgain(file=attempt.shard, worker=short(attempt.worker), reason=reason).data())

    def _end(self) -> None:
        """Cancels what is still running, waits for it, and removes what it leaves. Raises no errors of its own."""
        running = self.schedule.stop()
        ending = self.hands.ending
        ending |= {attempt.number: attempt for attempt in running if attempt.began is not None}
        with contextlib.suppress(RecipeError, OSError):
            if running or ending:
                self.hands.stop({attempt.worker for attempt in (*running, *ending.values())}, [0])
            end = time.monotonic() + _ENDING
            while ending and time.monotonic() < end:
                present = self.members.present()
                for attempt in list(ending.values()):
                    if attempt.worker not in present:
                        self.hands.forget(attempt.number)
                self._hear(_TICK)
        with contextlib.suppress(OSError):
            disk.sweep(self.folder)
