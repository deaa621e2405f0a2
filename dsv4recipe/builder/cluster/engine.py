"""Floor 4, builder, cluster. The Dask engine: it sends shards to workers and reports to the build what they made.

Dask only starts tasks and carries messages. Every task is bound to one worker and has its own key. So none of Dask's
decisions about failures, stealing or retries, and no setting of the scheduler, can lose or repeat work.
docs/how-to/scale-out.md explains why. Imports distributed.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from dsv4recipe.builder import lease
from dsv4recipe.builder.cluster.connect import connected
from dsv4recipe.builder.cluster.job import Job
from dsv4recipe.builder.cluster.patience import Patience
from dsv4recipe.builder.cluster.session import Session
from dsv4recipe.builder.engine import Listener, Work
from dsv4recipe.builder.shard import ShardTask
from dsv4recipe.errors import RecipeError, Where
from dsv4recipe.files.sources import Sources


@dataclass(frozen=True)
class DaskEngine:
    """An `Engine`. `scheduler` is an address or a scheduler file; "" starts workers on this machine.

    `on_event` also gets the events cluster, worker_joined, worker_refused, worker_lost and shard_again.
    """

    scheduler: str = ""
    on_event: Callable[[dict[str, Any]], None] = lambda event: None
    patience: Patience = field(default_factory=Patience)

    def __call__(self, work: Work, listener: Listener) -> None:
        """Makes the shards; a scheduler started here gets `work.workers` processes. Raises RecipeError B05x, and the
        errors (B0xx) of workers with their names."""
        sources = _seen_by_all(work)
        tasks: dict[str, ShardTask] = {}
        files: set[str] = set()
        for task in work.tasks:
            files |= {span.file for piece in task.pieces for span in (piece.weight, piece.scale) if span}
            tasks[task.file] = replace(task, header=b"", constants=(), pieces=())
        if not tasks:
            return
        sources.watch(sorted(files))
        job = Job(
            source=os.path.abspath(sources.root),
            folder=os.path.abspath(work.folder),
            token=lease.token_of(work.folder),
            sha256=tuple(sorted(sources.sha256.items())),
            importance=(os.path.abspath(work.importance.file), work.importance.sha256) if work.importance else ("", ""),
            zeros=work.zeros,
        )
        with connected(self.scheduler, work.workers) as client:
            Session(client, job, tasks, listener, self.on_event, self.patience).run()


def _seen_by_all(work: Work) -> Sources:
    """Returns the source if many machines can share the work. Raises RecipeError B058 otherwise."""
    if work.in_order:
        raise RecipeError(
            "B058", "a cluster cannot share the work on one large file", Where(str(work.folder)),
            "use --engine local, because a GGUF file must grow in order from its start",
        )  # fmt: skip
    if not isinstance(work.sources, Sources):
        raise RecipeError(
            "B058", "a cluster cannot build from the hub, because each worker would download the checkpoint itself",
            hint="download it to a folder that all workers can see, or use --engine local",
        )  # fmt: skip
    return work.sources
