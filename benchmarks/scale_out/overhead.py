"""The engine against local on a real build, in turn, at equal cores: two."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.scale_out.model import seconds_of
from benchmarks.scale_out.world import SMALL, recipe, slice_of
from dsv4recipe import build, make_plan
from dsv4recipe.builder.engine import Engine
from dsv4recipe.builder.local import run_shards
from dsv4recipe.builder.tasks import shard_tasks

RUNNING, OWN = "dask, a cluster that runs", "dask, workers that the build starts and ends"
CORES = 2


def overhead(
    work: Path, name: str, layers: int, experts: int, rounds: int, before: dict[str, Any], rates: dict[str, Any]
) -> dict[str, Any]:
    """The same build by local threads, by a cluster that is there already (what the engine itself costs) and by workers
    that the build starts and ends (what a user of one machine waits for); added to the rounds of an earlier run. Before
    them a build by each that is not counted: threads and workers that are there have their encoders loaded."""
    checkpoint = slice_of(work, layers, experts)
    for header in checkpoint.folder.files:
        _touch(checkpoint.folder.root / header.file)
    plan = make_plan(recipe(name, SMALL), checkpoint)
    walls: dict[str, list[float]] = defaultdict(list, before.get("walls", {}))
    start: dict[str, list[float]] = defaultdict(list, before.get("first_shard_after", {}))
    cpus: dict[str, list[float]] = defaultdict(list, before.get("processor", {}))
    with tempfile.TemporaryDirectory(dir=work) as folder, _cluster() as address:
        for engine_of in list(_engines(address).values())[:-1]:
            build(plan, checkpoint, Path(folder) / "first", workers=CORES, engine=engine_of(lambda event: None))
            shutil.rmtree(Path(folder) / "first")
        for number in range(rounds):
            for kind, engine_of in _engines(address).items():
                out = Path(folder) / f"{number}"
                marks: dict[str, float] = {}

                def told(event: dict[str, Any], marks: dict[str, float] = marks) -> None:
                    marks.setdefault(event["event"], time.perf_counter())

                os.sync()  # what the build before left to the disk
                used, begin = _processor(), time.perf_counter()
                build(plan, checkpoint, out, workers=CORES, on_event=told, engine=engine_of(told))
                walls[kind].append(round(time.perf_counter() - begin, 3))
                cpus[kind].append(round(_processor() - used, 3))
                start[kind].append(round(marks["shard_started"] - begin, 3))
                print(kind, walls[kind][-1], cpus[kind][-1], start[kind][-1], file=sys.stderr, flush=True)
                shutil.rmtree(out)
    tasks = list(shard_tasks(plan, checkpoint))
    return {
        "recipe": name, "layers": layers, "experts": experts, "cores": CORES, "shards": len(plan.shards),
        "bytes": sum(shard.file_bytes for shard in plan.shards), "rounds": len(walls["local"]), "walls": walls,
        "processor": cpus, "first_shard_after": start,
        "seconds": {kind: round(statistics.median(found), 2) for kind, found in walls.items()},
        "ratio": _ratios(walls), "processor_ratio": _ratios(cpus),
        "model_seconds": round(sum(seconds_of(task, rates) for task in tasks) / CORES, 2) if rates else None,
    }  # fmt: skip


def _ratios(found: dict[str, list[float]]) -> dict[str, float]:
    """Medians over the rounds, each round against its own local build."""
    return {
        kind: round(statistics.median(a / b for a, b in zip(times, found["local"], strict=True)), 4)
        for kind, times in found.items()
        if kind != "local"
    }


def _processor() -> float:
    """Seconds of this process and of its children, those that are gone among them."""
    import psutil

    gone = resource.getrusage(resource.RUSAGE_CHILDREN)
    there = [child.cpu_times() for child in psutil.Process().children(recursive=True)]
    return time.process_time() + gone.ru_utime + gone.ru_stime + sum(each.user + each.system for each in there)


def _engines(address: str) -> dict[str, Callable[[Callable[[dict[str, Any]], None]], Engine]]:
    from dsv4recipe.builder.cluster.engine import DaskEngine

    return {
        "local": lambda told: run_shards,
        RUNNING: lambda told: DaskEngine(address, told),
        OWN: lambda told: DaskEngine("", told),
    }


@contextlib.contextmanager
def _cluster() -> Iterator[str]:
    from distributed import LocalCluster

    options = {"threads_per_worker": 1, "memory_limit": 0, "dashboard_address": "127.0.0.1:0"}
    with LocalCluster(n_workers=CORES, processes=True, **options) as cluster:
        yield cluster.scheduler_address


def _touch(path: Path) -> None:
    """Everything reads from the page cache alike."""
    handle = os.open(path, os.O_RDONLY)
    try:
        while os.read(handle, 1 << 24):
            pass
    finally:
        os.close(handle)
