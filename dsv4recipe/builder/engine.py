"""Floor 4, builder. What an engine is: it makes shards, somewhere, and tells as each is durable. Pure.

Correctness is not an engine's business. Shards are idempotent, their files appear whole or not at all, and the journal,
which only the build itself writes, says what is finished: an engine adds hands. `local.run_shards` is the default.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

from dsv4recipe.builder.arena import Arena
from dsv4recipe.builder.journal import Entry
from dsv4recipe.builder.shard import OpenShard, ShardTask
from dsv4recipe.builder.sources import Reader
from dsv4recipe.importance.model import Importance
from dsv4recipe.plan.pieces import Piece


class Started(Protocol):
    """Told when work on a shard begins, on which worker ("": here), and how many bytes of it are there already."""

    def __call__(self, task: ShardTask, worker: str = "", there: int = 0) -> None: ...


class Progressed(Protocol):
    """Told how many bytes of a shard were just written, and of which piece, where that is known. What is written a
    second time is not told again."""

    def __call__(self, task: ShardTask, size: int, worker: str = "", piece: Piece | None = None) -> None: ...


class Done(Protocol):
    """Told, once per shard, that its file stands durable under its name. Raises what ends the build."""

    def __call__(self, entry: Entry, worker: str = "") -> None: ...


Opened = Callable[[ShardTask, Path, Reader, Arena, Importance | None], OpenShard]
"""Makes a shard that can be written."""


class Engine(Protocol):
    """Takes the tasks, streams the results to `done`, and is cancelled by whatever `done` or a signal raises.

    The calls come one at a time. When an engine returns, every shard is done; when it raises, it has stopped all work
    that it can reach. Either way nothing of it writes to `folder` any more, but for hands that it has lost, and those
    find the lease gone. `opened` says how a shard is opened: whole, or behind what is there of it.
    """

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
    ) -> None: ...
