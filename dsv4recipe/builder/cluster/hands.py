"""Floor 4, builder, cluster. Starts and cancels attempts on workers, and releases their results. Imports distributed.

Every attempt is a task of its own, bound to one worker, with a key that is never used again. So there is nothing that
Dask could do about failures, results or idle workers.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Iterable
from typing import Any

from distributed import Client, Future

from dsv4recipe.builder.cluster import worker as remote
from dsv4recipe.builder.cluster.job import Job
from dsv4recipe.builder.cluster.schedule import Attempt
from dsv4recipe.builder.shard import ShardTask


class Hands:
    """Starts attempts. The workers' messages, and `over` when a task ends, arrive in `inbox`.

    `ending` holds the numbers of attempts that were cancelled but are still running.
    """

    def __init__(self, client: Client, job: Job, inbox: queue.SimpleQueue[dict[str, Any]]) -> None:
        self._client, self._job, self._inbox = client, job, inbox
        self._futures: dict[int, Future[None]] = {}
        self.ending: dict[int, Attempt] = {}
        client.subscribe_topic(job.topic, lambda event: inbox.put(event[1]))

    def hand_over(self, attempt: Attempt, task: ShardTask) -> None:
        number = attempt.number
        self._futures[number] = future = self._client.submit(
            remote.make_shard, self._job, task.file, task.task, number,
            key=(self._job.topic, number), workers=[attempt.worker], allow_other_workers=False, pure=False,
        )  # fmt: skip
        future.add_done_callback(
            lambda over: self._inbox.put({"kind": "over", "number": number, "status": over.status})
        )

    def withdraw(self, attempt: Attempt) -> None:
        """Cancels an attempt whose result is no longer needed. If it has not begun, it never begins."""
        if attempt.began is not None:
            self.end(attempt)
        else:
            self._futures[attempt.number].cancel()
            self.forget(attempt.number)

    def end(self, attempt: Attempt) -> None:
        self.ending[attempt.number] = attempt
        self.stop([attempt.worker], [attempt.number])

    def stop(self, workers: Iterable[str], numbers: Iterable[int]) -> None:
        """Tells workers to cancel attempts, without waiting for an answer, because a stalled worker never answers."""
        marks = [(self._job.topic, number) for number in numbers]

        def tell() -> None:
            with contextlib.suppress(Exception):
                self._client.run(remote.stop, marks, workers=list(workers), on_error="ignore")

        threading.Thread(target=tell, name="stop", daemon=True).start()

    def forget(self, number: int) -> None:
        """Releases an attempt's future, so that Dask neither keeps its result nor computes it again."""
        self.ending.pop(number, None)
        future = self._futures.pop(number, None)
        if future is not None:
            future.release()

    def own_error(self, number: int) -> BaseException | None:
        """Returns the error that a task ended with, if it is our own and not a death or a lost connection."""
        future = self._futures[number]
        error = future.exception() if future.status == "error" else None
        return None if error is None or type(error).__module__.startswith("distributed") else error
