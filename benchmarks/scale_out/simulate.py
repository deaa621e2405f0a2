"""V4-Pro's task list by 8 to 512 simulated workers, through the real engine and the real scheduler."""

from __future__ import annotations

import contextlib
import json
import struct
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.scale_out.deployment import deployment
from benchmarks.scale_out.hosts import PIPE, table_path
from benchmarks.scale_out.model import STORAGE, greedy, limited_from, makespan, seconds_of, traffic_of
from benchmarks.scale_out.world import pro
from dsv4recipe.builder import journal, lease
from dsv4recipe.builder.engine import Listener, Work
from dsv4recipe.builder.shard import ShardTask
from dsv4recipe.bundle.manifest import PLAN_NAME
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.files.sources import Sources
from dsv4recipe.plan.canonical import dump_plan
from dsv4recipe.plan.model import Plan

RECIPE = "jangtq2"
EMPTY = 3000
"""Tasks of no length, for what scheduler and client can do at most."""


class Marks(Listener):
    """Journals every shard, as the build does, and keeps the time: `first` began, `last` was done."""

    def __init__(self, folder: Path, scheduler: int) -> None:
        import psutil

        self.folder, self.scheduler = folder, psutil.Process(scheduler)
        self.begin = time.monotonic()
        self.first = self.last = 0.0
        self.cpu = self.mine = 0.0

    def started(self, *_: object) -> None:
        if not self.first:
            self.first, self.cpu, self.mine = time.monotonic(), self._cpu(), time.process_time()

    def done(self, entry: journal.Entry, /, *_: object) -> None:
        journal.record(self.folder, entry)
        self.last = time.monotonic()

    def _cpu(self) -> float:
        times = self.scheduler.cpu_times()
        return float(times.user + times.system)

    def figures(self) -> dict[str, float]:
        return {
            "first_shard_after": round(self.first - self.begin, 2),
            "wall": self.last - self.first,
            "scheduler_cpu": self._cpu() - self.cpu,
            "client_cpu": time.process_time() - self.mine,
        }


class World:
    """V4-Pro by a recipe: its light tasks with what they cost. `folder` is one build's for all runs of a deployment, so
    that the workers open plan and headers once."""

    def __init__(self, work: Path, rates: dict[str, Any]) -> None:
        self.work = work
        self.plan: Plan
        self.checkpoint: Checkpoint
        self.plan, self.checkpoint, tasks = pro(work, RECIPE)
        self.seconds = [seconds_of(task, rates) for task in tasks]
        self.traffic = [traffic_of(task) for task in tasks]
        self.tasks = [replace(task, header=b"", constants=(), pieces=()) for task in tasks]

    @contextlib.contextmanager
    def folder(self) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(dir=self.work) as name:
            (Path(name) / PLAN_NAME).write_text(dump_plan(self.plan))
            (Path(name) / PIPE).write_bytes(struct.pack("d", 0.0))
            with lease.held(Path(name)):
                yield Path(name)

    def run(
        self, name: str, folder: Path, tasks: Sequence[ShardTask], seconds: Sequence[float], wire: Sequence[float],
        address: str, scheduler: int,
    ) -> dict[str, float]:  # fmt: skip
        """The engine over sleeping tasks; `wire` are the seconds that each takes of the shared pipe."""
        from dsv4recipe.builder.cluster.engine import DaskEngine

        named = [replace(task, file=f"{name}:{task.file}") for task in tasks]
        rows = zip(named, seconds, wire, strict=True)
        table = {task.file: {"seconds": s, "wire": w, "size": task.size} for task, s, w in rows}
        table_path(folder, named[0].file).write_text(json.dumps(table))
        marks = Marks(folder, scheduler)
        DaskEngine(address)(Work(named, folder, Sources(self.checkpoint.folder.root)), marks)
        return marks.figures()


def simulate(work: Path, rates: dict[str, Any], counts: Sequence[int], lasting: float) -> dict[str, Any]:
    """Every run is scaled so that the model has it last for `lasting` seconds, at most its true time."""
    world = World(work, rates)
    seconds, traffic = world.seconds, world.traffic
    rows = {}
    for count in counts:
        with deployment(work, count) as (address, scheduler, there), world.folder() as folder:
            row: dict[str, Any] = {"seconds_to_start": round(there, 1), "storage": {}}
            for name, storage in {"unlimited": float("inf"), **STORAGE}.items():
                model = makespan(seconds, traffic, count, storage)
                scale = min(1.0, lasting / model)
                spans, wire = [s * scale for s in seconds], [t * scale / storage for t in traffic]
                found = world.run(name.replace(" ", ""), folder, world.tasks, spans, wire, address, scheduler)
                row.setdefault("first_shard_after", found["first_shard_after"])
                simulated = round(found["wall"] / scale, 1)
                row["storage"][name] = {"simulated": simulated, "model": round(model, 1), "scale": round(scale, 4)}
            row["greedy"] = round(greedy(seconds, count), 1)
            empty = [replace(world.tasks[n % len(world.tasks)], file=f"s{n}", task=f"t{n}") for n in range(EMPTY)]
            idle = world.run("empty", folder, empty, [0.0] * EMPTY, [0.0] * EMPTY, address, scheduler)
            row["empty_tasks_per_second"] = round(EMPTY / idle["wall"])
            row["scheduler_ms_per_empty_task"] = round(1000 * idle["scheduler_cpu"] / EMPTY, 3)
            row["client_ms_per_empty_task"] = round(1000 * idle["client_cpu"] / EMPTY, 3)
        rows[str(count)] = row
        print(count, json.dumps(row), file=sys.stderr, flush=True)
    return {
        "recipe": world.plan.recipe["name"], "shards": len(world.tasks), "core_seconds": round(sum(seconds), 1),
        "longest": round(max(seconds), 2), "traffic": sum(traffic), "workers": rows,
        "storage_is_the_limit_from": {n: round(limited_from(seconds, traffic, s), 1) for n, s in STORAGE.items()},
    }  # fmt: skip
