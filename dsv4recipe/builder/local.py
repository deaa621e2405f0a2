"""Floor 4, builder. The local engine: threads over pieces (the encoders release the GIL), shards finished as they fill.

Memory is bounded by the pieces in flight, two per worker.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path

from dsv4recipe.builder.arena import Arena
from dsv4recipe.builder.engine import Opened, Progressed, Started
from dsv4recipe.builder.journal import Entry
from dsv4recipe.builder.shard import OpenShard, ShardTask
from dsv4recipe.builder.sources import Reader
from dsv4recipe.importance.model import Importance
from dsv4recipe.plan.pieces import Piece


def run_shards(
    tasks: Iterable[ShardTask],
    folder: Path,
    sources: Reader,
    importance: Importance | None,
    workers: int,
    started: Started,
    progressed: Progressed,
    done: Callable[[Entry], None],
    opened: Opened = OpenShard,
) -> None:
    """Writes every shard. `started` gets the shard and the bytes of it that are there already, `progressed` the shard,
    the bytes just written and their piece, `done` each finished file; all are called by one thread at a time. `opened`
    makes the shards. The first failure (or Ctrl-C) stops all work and abandons what is unfinished.
    """
    stop = threading.Event()
    calls = threading.Lock()
    live: list[OpenShard] = []
    pending: set[Future[None]] = set()
    arena = Arena()

    def work(shard: OpenShard, piece: Piece) -> None:
        if stop.is_set():
            return
        try:
            written, last = shard.run(piece)
            with calls:
                progressed(shard.task, written, "", piece)
            if last:
                entry = shard.finish()
                with calls:
                    done(entry)
            else:
                shard.follow()
        except BaseException:
            stop.set()
            raise

    with ThreadPoolExecutor(workers, thread_name_prefix="encode") as pool:
        try:
            for task in tasks:
                shard = opened(task, folder, sources, arena, importance)
                live.append(shard)
                shard.begin()
                with calls:
                    started(task, "", shard.resumed)
                for piece in shard.pieces:
                    pending.add(pool.submit(work, shard, piece))
                    if len(pending) >= 2 * workers:
                        ready, pending = wait(pending, return_when=FIRST_COMPLETED)
                        for future in ready:
                            future.result()
                live = [shard for shard in live if shard.live]
            for future in pending:
                future.result()
        except BaseException:
            stop.set()
            sources.stop()
            wait(pending)
            for shard in live:
                shard.abandon()
            raise
