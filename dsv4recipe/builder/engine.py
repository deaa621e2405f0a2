"""Floor 4, builder. Defines engines, which make shards somewhere and report each one that is durable. Pure.

An engine is not responsible for correctness. Shards are idempotent, their files appear complete or not at all, and the
journal, which only the build itself writes, says what is finished. `local.run_shards` is the default engine.
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
"""Makes a writable shard."""


@dataclass(frozen=True, slots=True)
class Work:
    """The work of an engine: the shards of `tasks`, in `folder`, from `sources`, by `workers` if the engine starts
    them. `opened` makes a writable shard. `in_order` says that it must grow from its start. `zeros` allows a matrix of
    the source to be all zeros."""

    tasks: Iterable[ShardTask]
    folder: Path
    sources: Reader
    importance: Guide | None = None
    workers: int = 1
    opened: Opened = OpenShard
    in_order: bool = False
    zeros: bool = False


class Listener:
    """Receives reports on the work, one call at a time. `worker` is "" for work done on this machine."""

    def started(self, task: ShardTask, worker: str = "", there: int = 0, /) -> None:
        """Work on a shard begins; `there` bytes of it exist already."""

    def progressed(self, task: ShardTask, size: int, worker: str = "", piece: Piece | None = None, /) -> None:
        """`size` bytes of a shard were just written, for that piece if it is known. Bytes that are written again are
        not reported again."""

    def done(self, entry: Entry, worker: str = "", /) -> None:
        """A shard's file is durable under its name; this is called once per shard. What it raises ends the build."""


class Engine(Protocol):
    """Does the work, reports results to the listener, and stops when that or a signal raises.

    When an engine returns, every shard is done. When it raises, it has stopped all work that it can reach. In both
    cases nothing writes to the folder any more, except workers that were lost; those find that the lease is gone.
    """

    def __call__(self, work: Work, listener: Listener) -> None: ...
