"""A simulated rack: real Worker objects of one thread, many to a process, whose shards are sleep.

    python -m benchmarks.scale_out.hosts SCHEDULER COUNT

Everything of the product runs but for the making of a shard: the handshake (with the whole plan and the source's
headers, found once per process), the lock of a worker, messages, the looks at the lease. A shard takes its seconds of a
core in parts, and draws its bytes from a pipe that all processes share: first come, first served.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import struct
import sys
import tempfile
import threading
import time
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from dsv4recipe.builder.cluster import worker
from dsv4recipe.builder.cluster.job import Job
from dsv4recipe.builder.journal import Entry

PIPE = "pipe"
PARTS = 16
_reading = threading.Lock()


def table_path(folder: str | Path, file: str) -> Path:
    """Where the run that a file is of, which its name begins with, says what its shards take."""
    return Path(folder, f"durations-{file.partition(':')[0]}.json")


@cache
def table(path: Path) -> dict[str, Any]:
    """By file: seconds of a core, seconds of the pipe, size."""
    return dict(json.loads(path.read_text()))


def sleep_shard(job: Job, file: str, task: str, _threads: int, pulse: Any) -> Entry:
    """Takes the place of `worker._make`."""
    with _reading:
        row = table(table_path(job.folder, file))[file]
    ready = time.monotonic()
    parts = PARTS if row["seconds"] or row["wire"] else 0
    for _ in range(parts):
        arrived = draw(Path(job.folder, PIPE), row["wire"] / parts)
        ready = max(ready + row["seconds"] / parts, arrived)
        time.sleep(max(0.0, ready - time.monotonic()))
        pulse.progressed(None, row["size"] // parts)
    return Entry(task, file, row["size"], "0" * 64)


def draw(pipe: Path, seconds: float) -> float:
    """When what takes the pipe for so many seconds has come through, by the monotonic clock."""
    if not seconds:
        return 0.0
    handle = os.open(pipe, os.O_RDWR)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        (free,) = struct.unpack("d", os.pread(handle, 8, 0))
        free = max(free, time.monotonic()) + seconds
        os.pwrite(handle, struct.pack("d", free), 0)
        return float(free)
    finally:
        os.close(handle)


async def host(address: str, count: int) -> None:
    """So many workers, until the scheduler goes."""
    from distributed import Worker

    options: dict[str, Any] = {"nthreads": 1, "memory_limit": 0, "local_directory": tempfile.gettempdir()}
    workers = [Worker(address, **options) for _ in range(count)]
    await asyncio.gather(*workers)
    await asyncio.gather(*(each.finished() for each in workers))


if __name__ == "__main__":
    worker._make = sleep_shard
    worker.facts = lru_cache(worker.facts)
    asyncio.run(host(sys.argv[1], int(sys.argv[2])))
