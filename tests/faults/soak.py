"""Builds in a row, interrupted at random, in one process: what leaks?

python -m tests.faults.soak [--builds 200] [--seed N]
"""

from __future__ import annotations

import argparse
import gc
import os
import random
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dsv4recipe import build
from tests.faults.world import World, make_world, partial

WARM = 10
"""Builds until caches are filled and the allocator has its arenas."""


@dataclass(frozen=True)
class Soaked:
    """Of all builds: interruptions, and what was left over. Memory in bytes after the first ten builds and the last."""

    interrupted: int
    temporaries: int
    descriptors: int
    threads: int
    memory_before: int
    memory_after: int


def interrupting(at: int) -> Callable[[dict[str, Any]], None]:
    """An event handler that interrupts the build at event `at`, as Ctrl-C would."""
    seen = 0

    def on_event(event: dict[str, Any]) -> None:
        nonlocal seen
        seen += 1
        if seen == at:
            raise KeyboardInterrupt

    return on_event


def soak(world: World, folder: Path, builds: int, seed: int) -> Soaked:
    """Builds `builds` bundles, each interrupted up to three times, and compares each with the undisturbed one."""
    rng = random.Random(seed)
    out = folder / "out"
    events: list[Any] = []
    build(world.plan, world.checkpoint, folder / "count", workers=2, on_event=events.append)
    interrupted = temporaries = 0
    before = (0, 0, 0)
    for number in range(builds):
        for _ in range(rng.randint(0, 3)):
            try:
                build(world.plan, world.checkpoint, out, workers=2, on_event=interrupting(rng.randint(1, len(events))))
            except KeyboardInterrupt:
                interrupted += 1
            temporaries += sum(1 for path in folder.rglob(".*") if path.is_file())
            temporaries += (partial(out) / "lease.json").exists()
        world.build(out, 2)
        world.check_finished(out)
        shutil.rmtree(out)
        if number == min(WARM, builds // 2):
            before = _used()
    after = _used()
    return Soaked(interrupted, temporaries, after[0] - before[0], after[1] - before[1], before[2], after[2])


def _used() -> tuple[int, int, int]:
    """Open descriptors, threads, resident bytes; 0 where the system does not say."""
    gc.collect()
    if not os.path.exists("/proc/self/statm"):
        return 0, threading.active_count(), 0
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return len(os.listdir("/proc/self/fd")), threading.active_count(), pages * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--builds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        world = make_world(Path(name), "20KB")
        begin = time.monotonic()
        result = soak(world, Path(name), options.builds, options.seed)
        print(
            f"{options.builds} builds, {result.interrupted} interruptions, seed {options.seed}, "
            f"{time.monotonic() - begin:.0f} s: {result.temporaries} temporary files left, "
            f"{result.descriptors:+} descriptors, {result.threads:+} threads, "
            f"memory {result.memory_before / 1e6:.1f} MB after {WARM} builds, "
            f"{result.memory_after / 1e6:.1f} MB after the last"
        )


if __name__ == "__main__":
    main()
