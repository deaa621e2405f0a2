"""Floor 4, builder, cluster. Keeps the list of workers; each must first show that it would build the same bundle.

Imports distributed.
"""

from __future__ import annotations

import contextlib
import queue
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from distributed import Client, Future

from dsv4recipe.builder.cluster import worker as remote
from dsv4recipe.builder.cluster.answers import short
from dsv4recipe.builder.cluster.job import IMPORTANCE, NO_FOLDER, Job, appeared, differences, facts
from dsv4recipe.builder.events import WorkerJoined, WorkerRefused
from dsv4recipe.errors import Diagnostic, RecipeError, Where
from dsv4recipe.files import disk
from dsv4recipe.files.atomic import write_file

_AT_WORK = ("running", "paused")


class Members:
    """The workers of a scheduler, identified by address and id, because an address may be reused by another process."""

    def __init__(
        self,
        client: Client,
        scheduler: str,
        job: Job,
        inbox: queue.SimpleQueue[dict[str, Any]],
        patience: float,
        tell: Callable[[dict[str, Any]], None],
    ) -> None:
        self._client, self._job, self._inbox = client, job, inbox
        self._mine: dict[str, str] = {}
        self._patience, self._tell = patience, tell
        self._seen: dict[str, dict[str, Any]] = {}
        self._asked: dict[str, Future[Any]] = {}
        self._passed: list[str] = []
        self._joined: set[str] = set()
        self._gone: list[str] = []
        self._checks = 0
        self._next = 0.0
        self._nobody_since = time.monotonic()
        self._folder = Path(job.folder)
        self._where = Where(scheduler)
        self._mark = disk.temporary(self._folder / "shared").name
        self._secret = secrets.token_hex(16)

    def gather(self) -> None:
        """Checks all present workers and waits for their answers. Raises RecipeError B052 to B054 with every worker
        that differs."""
        write_file(self._folder / self._mark, self._secret.encode())
        refused: list[Diagnostic] = []
        self._poll()
        self._mine = facts(self._job, 1) | {IMPORTANCE: self._job.importance[1]}  # while the workers find theirs
        while self._asked or not (self._passed or refused):
            with contextlib.suppress(queue.Empty):
                refused += self._judge(self._inbox.get(timeout=0.2))
            self._poll()
            self._check_patience()
        if refused:
            raise RecipeError.of(refused)

    def look(self) -> tuple[list[str], list[str]]:
        """Returns (workers that joined since the last call, workers that are gone). Raises RecipeError B051 and
        B052."""
        self._poll()
        self._check_patience()
        came, self._passed = self._passed, []
        went, self._gone = self._gone, []
        self._joined |= set(came)
        return came, went

    def look_again(self) -> None:
        """Makes the next `look` ask the scheduler, because something may have changed."""
        self._next = 0.0

    def present(self) -> set[str]:
        """Returns the addresses of the workers that the scheduler knows now."""
        self._poll()
        return set(self._seen)

    def checked(self, message: dict[str, Any]) -> None:
        """Handles the answer of a worker that came later: it joins, or is reported to the user and gets no work."""
        for each in self._judge(message):
            reasons = [each.message, *each.notes]
            self._tell(WorkerRefused(worker=short(message["worker"]), reasons=reasons).data())

    def _poll(self) -> None:
        """Asks the scheduler for its workers, at most about once a second."""
        scheduler = self._client.scheduler
        if self._client.status != "running" or scheduler is None:
            hint = "start it and run the build again, or continue with --engine local; finished shards are kept"
            raise RecipeError("B051", "the connection to the scheduler is lost", self._where, hint)
        now = time.monotonic()
        if now < self._next:
            return
        # scheduler_info() cannot be used: every two seconds the client replaces its result by one without workers.
        try:
            found = self._client.sync(scheduler.identity, n_workers=-1)["workers"]
        except OSError:  # the scheduler does not answer: if it is gone, the client's status will say so
            return
        there = {name: each for name, each in found.items() if each["status"] in _AT_WORK}
        self._next = now + max(0.5, len(there) / 200)
        for name, before in list(self._seen.items()):
            if name not in there or there[name]["id"] != before["id"]:
                self._leave(name)
        for name, each in there.items():
            if name not in self._seen:
                self._seen[name] = each
                self._ask(name)

    def _ask(self, name: str) -> None:
        self._checks += 1
        future = self._client.submit(
            remote.check, self._job, self._mark, self._secret,
            key=(f"{self._job.topic}-check", self._checks), workers=[name], allow_other_workers=False, pure=False,
        )  # fmt: skip
        self._asked[name] = future
        future.add_done_callback(lambda done: self._inbox.put({"kind": "checked", "worker": name, "future": done}))

    def _leave(self, name: str) -> None:
        del self._seen[name]
        future = self._asked.pop(name, None)
        if future is not None:
            future.release()
        if name in self._passed:
            self._passed.remove(name)
        if name in self._joined:
            self._joined.remove(name)
            self._gone.append(name)

    def _judge(self, message: dict[str, Any]) -> list[Diagnostic]:
        """Returns the objections to a worker that answered. If there are none, it is a member."""
        name: str = message["worker"]
        future: Future[Any] = message["future"]
        if self._asked.get(name) is not future:
            return []
        shown = short(name)
        if future.status not in ("finished", "error"):
            self.look_again()
            return []
        del self._asked[name]
        try:
            answer = future.result(timeout=30)
            there, file = answer["facts"], answer["answer"]
        except Exception as error:  # another version of this package, or none, may fail in any way
            reason = f"it cannot run this version: {type(error).__name__}: {error}"
            hint = f"install dsv4recipe {self._mine['dsv4recipe']} on that machine, for the worker's Python"
            return [Diagnostic("B053", f"worker {shown} cannot take part", hint=hint, notes=(reason[:500],))]
        finally:
            future.release()
        found = []
        where = Where(subject=f"worker {shown} on {self._seen[name]['host']}")
        shares = NO_FOLDER not in there and self._shares(file, name)
        if not shares:
            what = f"worker {shown} does not share the output folder"
            hint = f"every worker must see {self._folder} under this name, on the same storage"
            found.append(Diagnostic("B054", what, where, hint))
        notes = tuple(differences(self._mine, there))
        if notes and NO_FOLDER not in there:
            hint = "make these the same on that machine, or remove this worker"
            found.append(
                Diagnostic("B053", f"worker {shown} would not build the same bundle", where, hint, notes=notes)
            )
        if not found:
            self._passed.append(name)
            each = self._seen[name]
            joined = WorkerJoined(worker=shown, name=str(each["name"]), host=each["host"], threads=each["nthreads"])
            self._tell(joined.data())
        return found

    def _shares(self, file: str, name: str) -> bool:
        """Returns whether the worker read our file and we can read the file that it wrote."""
        if not file or Path(file).name != file:
            return False
        path = self._folder / file
        content = appeared(path)
        disk.discard(path)
        return content == f"{self._secret} {name}".encode()

    def _check_patience(self) -> None:
        now = time.monotonic()
        if self._joined or self._passed or self._asked:
            self._nobody_since = now
        elif now - self._nobody_since > self._patience:
            raise RecipeError(
                "B052", f"there has been no worker for {self._patience:.0f} seconds", self._where,
                "start workers and run the build again, or continue with --engine local; finished shards are kept",
            )  # fmt: skip
