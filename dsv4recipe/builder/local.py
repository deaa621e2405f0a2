"""Floor 4, builder. The local engine: threads encode pieces (the encoders release the GIL) and finish full shards.

Memory is limited by the pieces in work, two per worker.
"""

from __future__ import annotations

import threading
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from dsv4recipe.builder.engine import Listener, Work
from dsv4recipe.builder.shard import OpenShard
from dsv4recipe.files.arena import Arena
from dsv4recipe.plan.pieces import Piece


def run_shards(work: Work, listener: Listener) -> None:
    """Writes every shard. The first failure (or Ctrl-C) stops all work and drops what is unfinished."""
    stop = threading.Event()
    calls = threading.Lock()
    live: list[OpenShard] = []
    pending: set[Future[None]] = set()
    arena = Arena()

    def encode(shard: OpenShard, piece: Piece) -> None:
        if stop.is_set():
            return
        try:
            written, last = shard.run(piece)
            with calls:
                listener.progressed(shard.task, written, "", piece)
            if last:
                entry = shard.finish()
                with calls:
                    listener.done(entry)
            else:
                shard.follow()
        except BaseException:
            stop.set()
            raise

    with ThreadPoolExecutor(work.workers, thread_name_prefix="encode") as pool:
        try:
            for task in work.tasks:
                shard = work.opened(task, work.folder, work.sources, arena, work.importance)
                shard.zeros.allowed = work.zeros
                live.append(shard)
                shard.begin()
                with calls:
                    listener.started(task, "", shard.resumed)
                for piece in shard.pieces:
                    pending.add(pool.submit(encode, shard, piece))
                    if len(pending) >= 2 * work.workers:
                        ready, pending = wait(pending, return_when=FIRST_COMPLETED)
                        for future in ready:
                            future.result()
                live = [shard for shard in live if shard.live]
            for future in pending:
                future.result()
        except BaseException:
            stop.set()
            work.sources.stop()
            wait(pending)
            for shard in live:
                shard.abandon()
            raise
