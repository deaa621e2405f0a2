"""Floor 4, builder. What an engine is: it makes shards, somewhere, and tells as each is durable. This module is pure.

Correctness is not an engine's business. Shards are idempotent, their files appear whole or not at all, and the journal,
which only the build itself writes, says what is finished: an engine adds hands. `local.run_shards` is the default.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from dsv4recipe.builder.journal import Entry
from dsv4recipe.builder.shard import OpenShard, ShardTask
from dsv4recipe.files.arena import Arena
from dsv4recipe.files.sources import Reader
from dsv4recipe.importance.model import Guide
from dsv4recipe.plan.pieces import Piece

Opened = Callable[[ShardTask, Path, Reader, Arena, Guide | None], OpenShard]
"""Makes a shard that can be written."""


@dataclass(frozen=True, slots=True)
class Work:
    """What is to be made: the shards of `tasks`, in `folder`, from `sources`, by so many `workers` where the engine
    starts them. `opened` makes a shard that can be written; `in_order` says that it must grow from its start.
    `zeros` says that a matrix of the source may be nothing but zeros."""

    tasks: Iterable[ShardTask]
    folder: Path
    sources: Reader
    importance: Guide | None = None
    workers: int = 1
    opened: Opened = OpenShard
    in_order: bool = False
    zeros: bool = False


class Listener:
    """Who is told how the work goes, one call at a time. `worker` is "" for work done here."""

    def started(self, task: ShardTask, worker: str = "", there: int = 0, /) -> None:
        """Work on a shard begins; so many bytes of it are there already."""

    def progressed(self, task: ShardTask, size: int, worker: str = "", piece: Piece | None = None, /) -> None:
        """So many bytes of a shard were just written, of that piece where it is known. What is written a second time
        is not told again."""

    def done(self, entry: Entry, worker: str = "", /) -> None:
        """A shard's file stands durable under its name: told once per shard. Raises what ends the build."""


class Engine(Protocol):
    """Takes the work, streams the results to the listener, and is cancelled by whatever that or a signal raises.

    When an engine returns, every shard is done; when it raises, it has stopped all work that it can reach. Either way
    nothing of it writes to the folder any more, but for hands that it has lost, and those find the lease gone.
    """

    def __call__(self, work: Work, listener: Listener) -> None: ...
