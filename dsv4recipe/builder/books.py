"""Floor 4, builder. Records a build: finished files go into the journal, and what the engine does becomes events."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dsv4recipe.builder import journal
from dsv4recipe.builder.engine import Listener
from dsv4recipe.builder.events import Event, Resumed, ShardDone, ShardStarted, Written
from dsv4recipe.builder.lease import Lease
from dsv4recipe.builder.pace import Pace
from dsv4recipe.builder.shard import ShardTask
from dsv4recipe.plan.pieces import Piece


@dataclass(frozen=True, slots=True)
class Books(Listener):
    """Listens to an engine. `entries` are the finished files by name. `pace` says how much work a piece is, if that is
    not its number of bytes."""

    folder: Path
    mine: Lease
    entries: dict[str, journal.Entry]
    pace: Pace | None
    on_event: Callable[[dict[str, Any]], None]

    def started(self, task: ShardTask, worker: str = "", there: int = 0, /) -> None:
        self._tell(ShardStarted(file=task.file, bytes=task.size, worker=worker))
        if there:
            pieces = (piece for piece in task.pieces if piece.offsets[0] < there)
            work = sum(self.pace.work(piece) for piece in pieces) if self.pace else there
            self._tell(Resumed(shards=len(self.entries), bytes=there, work=work))

    def progressed(self, task: ShardTask, size: int, worker: str = "", piece: Piece | None = None, /) -> None:
        work = self.pace.work(piece) if self.pace and piece else size
        self._tell(Written(file=task.file, bytes=size, work=work, worker=worker))

    def done(self, entry: journal.Entry, worker: str = "", /) -> None:
        """Raises RecipeError B010, B011 or B033."""
        self.mine.check()
        journal.record(self.folder, entry)
        self.entries[entry.file] = entry
        self._tell(ShardDone(file=entry.file, bytes=entry.size, sha256=entry.sha256, worker=worker))

    def _tell(self, event: Event) -> None:
        self.on_event(event.data())
