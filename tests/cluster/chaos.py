"""Builds on real worker processes under what goes wrong for as long as they last, each compared with a local build.

python -m tests.cluster.chaos kill [--nanny] [--workers 4] [--every 2] [--kills 50] [--seed N]
python -m tests.cluster.chaos scheduler | client | storage | asleep
python -m tests.cluster.chaos same [--workers 2,4,8]

Shards are of V4-Flash's real width: some 0.3 s of work each, so that a kill every two seconds hits one in work.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from dsv4recipe import RecipeError, build, load_recipe, make_plan, open_checkpoint
from dsv4recipe.builder.cluster.engine import DaskEngine
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.checkpoint.synth import synthesize
from dsv4recipe.plan.model import Plan
from tests.cluster.pool import Pool, pids
from tests.faults.world import digests


class Wide:
    """A source of real shapes in several shards, and what a local build makes of it."""

    def __init__(self, folder: Path, layers: int, experts: int) -> None:
        self.folder = folder
        source = folder / "source"
        if not source.exists():
            synthesize(source, preset="slice", layers=layers, experts=experts)
        self.checkpoint: Checkpoint = open_checkpoint(source)
        recipe = load_recipe("jangtq2")
        recipe = replace(recipe, target=replace(recipe.target, shard_size=64_000_000))
        self.plan: Plan = make_plan(recipe, self.checkpoint)
        begin = time.monotonic()
        whole = folder / "whole"
        shutil.rmtree(whole, ignore_errors=True)
        build(self.plan, self.checkpoint, whole, workers=2)
        self.seconds = time.monotonic() - begin
        self.digests = digests(whole)

    def check(self, out: Path) -> None:
        found = digests(out)
        wrong = sorted(n for n in {*found, *self.digests} if found.get(n) != self.digests.get(n))
        if wrong or list(out.parent.glob(f"{out.name}.*")):
            raise AssertionError(f"{out} differs from the local build in {wrong}")


class Told:
    """Counts what the engine tells, and the attempts that were begun in vain."""

    def __init__(self, on_shard: Callable[[int], None] = lambda number: None) -> None:
        self.counts: dict[str, int] = {}
        self.again = self.most_again = 0
        self.on_shard = on_shard

    def __call__(self, event: dict[str, Any]) -> None:
        kind = event["event"]
        self.counts[kind] = self.counts.get(kind, 0) + 1
        if kind == "worker_lost":
            self.again += len(event["shards"])
            self.most_again = max(self.most_again, len(event["shards"]))
        if kind == "shard_done":
            self.on_shard(self.counts[kind])


def make(world: Wide, out: Path, scheduler: str, told: Told) -> float:
    begin = time.monotonic()
    build(world.plan, world.checkpoint, out, workers=1, on_event=told, engine=DaskEngine(scheduler, told))
    return time.monotonic() - begin


def kill(world: Wide, options: argparse.Namespace) -> str:
    """Builds, again and again, until so many workers were killed."""
    rng = random.Random(options.seed)
    kills = builds = again = most = never_back = 0
    seconds = 0.0
    while kills < options.kills:
        with tempfile.TemporaryDirectory(dir=world.folder) as name, Pool(Path(name)) as pool:
            pool.add(options.workers, nanny=options.nanny)
            over = threading.Event()
            hits: list[int] = []

            def killer(pool: Pool = pool, over: threading.Event = over, hits: list[int] = hits) -> None:
                while not over.wait(options.every):
                    if options.nanny:
                        there = list(pids(pool.address).values())
                    else:
                        there = [worker.pid for worker in pool.workers if worker.poll() is None]
                        there = there if len(there) > 1 else []
                    if there and not over.is_set():
                        os.kill(rng.choice(there), signal.SIGKILL)
                        hits.append(1)

            thread = threading.Thread(target=killer, daemon=True)
            told = Told(lambda number, thread=thread: thread.start() if number == 1 else None)
            out = world.folder / "out"
            seconds += make(world, out, pool.address, told)
            over.set()
            thread.join()
            world.check(out)
            shutil.rmtree(out)
            kills, builds, again = kills + len(hits), builds + 1, again + told.again
            most = max(most, told.most_again)
            never_back += sum(worker.poll() is not None for worker in pool.workers)
    return (
        f"{kills} kills in {builds} builds of {len(world.plan.shards)} shards, one every {options.every} s, "
        f"{options.workers} workers {'with' if options.nanny else 'without'} nannies ({never_back} never came back), "
        f"seed {options.seed}: all complete, every byte as local; {again} shards in vain, at most {most} by a kill; "
        f"{seconds / builds:.1f} s a build (local, 2 threads: {world.seconds:.1f} s)"
    )


def scheduler(world: Wide, options: argparse.Namespace) -> str:
    """Kills the scheduler in the middle; --engine local goes on."""
    out = world.folder / "out"
    with tempfile.TemporaryDirectory(dir=world.folder) as name, Pool(Path(name)) as pool:
        pool.add(options.workers)
        half = len(world.plan.shards) // 2
        told = Told(lambda number: os.kill(pool.scheduler.pid, signal.SIGKILL) if number == half else None)
        try:
            make(world, out, pool.address, told)
            raise AssertionError("the build did not notice")
        except RecipeError as error:
            code = error.diagnostics[0].code
        again = Told()
        build(world.plan, world.checkpoint, out, workers=2, on_event=again)
        world.check(out)
    shutil.rmtree(out)
    made = again.counts["shard_done"]
    return (
        f"scheduler killed after {half} of {len(world.plan.shards)} shards: {code}; local made the other {made}: same"
    )


def client(world: Wide, options: argparse.Namespace) -> str:
    """kill -9 of the build itself in the middle, three times, while its workers live on; then it is run to its end."""
    out = world.folder / "out"
    with tempfile.TemporaryDirectory(dir=world.folder) as name, Pool(Path(name)) as pool:
        pool.add(options.workers)
        for _ in range(3):
            child = os.fork()
            if not child:
                code = (
                    "import sys; from tests.cluster.chaos import *; w = Wide.__new__(Wide); "
                    "c = open_checkpoint(sys.argv[1]); from dsv4recipe.plan.canonical import load_plan; "
                    "p = load_plan(open(sys.argv[2]).read(), 'plan'); "
                    "build(p, c, sys.argv[3], workers=1, engine=DaskEngine(sys.argv[4]))"
                )
                plan = str(world.folder / "whole" / "dsv4recipe.plan.json")
                os.execv(
                    sys.executable,
                    [sys.executable, "-c", code, str(world.folder / "source"), plan, str(out), pool.address],
                )
            time.sleep(4 + random.random() * 3)
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        told = Told()
        make(world, out, pool.address, told)
        world.check(out)
    shutil.rmtree(out, ignore_errors=True)
    made = told.counts.get("shard_done", 0)
    return f"the build killed 3 times, its workers alive; the last run made {made} shards: same"


def storage(world: Wide, options: argparse.Namespace) -> str:
    """The output's mount goes away under a build for five seconds, and comes back. Needs root."""
    real, share = world.folder / "real", world.folder / "share"
    for path in (real, share):
        path.mkdir(exist_ok=True)
    mount = ["mount", "--bind", str(real), str(share)]
    subprocess.run(mount, check=True)

    def away() -> None:
        subprocess.run(["umount", "-l", str(share)], check=True)
        time.sleep(5)
        subprocess.run(mount, check=True)

    try:
        with tempfile.TemporaryDirectory(dir=world.folder) as name, Pool(Path(name)) as pool:
            pool.add(options.workers)
            told = Told(lambda number: threading.Thread(target=away).start() if number == 5 else None)
            seconds = make(world, share / "out", pool.address, told)
            world.check(share / "out")
            shutil.rmtree(share / "out")
    finally:
        subprocess.run(["umount", "-l", str(share)], check=False)
    again = told.counts.get("shard_again", 0)
    return f"the mount away for 5 s: complete in {seconds:.1f} s, {again} attempts tried again: same"


def asleep(world: Wide, options: argparse.Namespace) -> str:
    """A worker stands still (SIGSTOP) in the middle and wakes up when all is over."""
    out = world.folder / "out"
    with tempfile.TemporaryDirectory(dir=world.folder) as name, Pool(Path(name)) as pool:
        pool.add(options.workers)
        told = Told(lambda number: os.kill(pool.workers[0].pid, signal.SIGSTOP) if number == 5 else None)
        seconds = make(world, out, pool.address, told)
        os.kill(pool.workers[0].pid, signal.SIGCONT)
        time.sleep(3)
        world.check(out)
    shutil.rmtree(out)
    return f"a worker asleep from the 5th shard on, awake after the end: complete in {seconds:.1f} s: same"


def same(world: Wide, options: argparse.Namespace) -> str:
    """2, 4 and 8 workers."""
    lines = []
    for count in (2, 4, 8):
        out = world.folder / "out"
        with tempfile.TemporaryDirectory(dir=world.folder) as name, Pool(Path(name)) as pool:
            pool.add(count)
            seconds = make(world, out, pool.address, Told())
            world.check(out)
        shutil.rmtree(out)
        lines.append(f"{count} workers: same, {seconds:.1f} s with their start")
    return "; ".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = {each.__name__: each for each in (kill, scheduler, client, storage, asleep, same)}
    parser.add_argument("what", choices=sorted(what))
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--nanny", action="store_true")
    parser.add_argument("--every", type=float, default=2.0)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--layers", type=int, default=10)
    parser.add_argument("--experts", type=int, default=8)
    parser.add_argument("--folder", type=Path, help="Where the world is kept for the next run.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = options.folder or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        print(what[options.what](Wide(folder, options.layers, options.experts), options))


if __name__ == "__main__":
    main()
