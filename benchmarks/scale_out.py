"""What a cluster brings: a model of the cost, checked against shards measured here and against the real scheduler.

    python benchmarks/scale_out.py record WORKDIR -o docs/scale-out.json      real shards timed, and a fit
    python benchmarks/scale_out.py simulate WORKDIR -o docs/scale-out.json    8 to 512 workers × the V4-Pro task list
    python benchmarks/scale_out.py plot -o docs/scale-out.json                docs/scale-out.svg
    python benchmarks/scale_out.py overhead WORKDIR [--rounds 3]              the engine against local, equal cores

`simulate` runs the engine and a real scheduler, each in a process of its own, against real Worker objects (in four
processes) whose tasks sleep for as long as the model says, scaled. The client journals every shard.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import heapq
import json
import operator
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from dsv4recipe import build, load_recipe, make_plan, open_checkpoint
from dsv4recipe.builder import disk, journal
from dsv4recipe.builder.local import run_shards
from dsv4recipe.builder.shard import ShardTask
from dsv4recipe.builder.sources import Sources
from dsv4recipe.builder.tasks import shard_tasks
from dsv4recipe.bundle.manifest import PLAN_NAME
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.checkpoint.synth import synthesize
from dsv4recipe.plan.model import Plan

STORAGE = {"10 GbE": 1.25e9, "25 GbE": 3.1e9, "100 GbE": 12.5e9}
"""Bytes per second of the storage that all workers share."""
HOSTS = 4
RECIPES = ("jangtq2", "q4q8")


def recipe(name: str, shard_size: int, pro: bool = False) -> Any:
    found = load_recipe(name)
    source = replace(found.source, model="deepseek-ai/DeepSeek-V4-Pro") if pro else found.source
    return replace(found, source=source, target=replace(found.target, shard_size=shard_size))


# The model: a shard costs so many seconds per weight of each kind, and so many per byte written.


def work_of(task: ShardTask) -> tuple[Counter[str], int, int]:
    """Weights by kind of encoding, bytes read, bytes written."""
    kinds: Counter[str] = Counter()
    read = 0
    for piece in task.pieces:
        bits = getattr(piece.format, "bits", "")
        kinds[f"{piece.source.stored} to {piece.format.kind}{bits}"] += prod(piece.source.shape)
        read += sum(span.end - span.start for span in (piece.weight, piece.scale) if span)
    return kinds, read, task.size


def record(work: Path) -> dict[str, Any]:
    """Processor seconds of every shard of real slices, alone and on one thread; fits seconds per weight and per byte;
    and says how far the fit is off."""
    checkpoint = slice_of(work)
    source = checkpoint.folder.root
    rows: list[tuple[Counter[str], int, float]] = []
    for name in RECIPES:
        plan = make_plan(recipe(name, 64_000_000), checkpoint)
        with tempfile.TemporaryDirectory(dir=work) as folder, Sources(source) as sources:
            for turn in range(2):
                for number, task in enumerate(shard_tasks(plan, checkpoint)):
                    begin = time.process_time()
                    run_shards([task], Path(folder), sources, None, 1, _ignore, _ignore, _ignore)
                    seconds = time.process_time() - begin
                    kinds, _, size = work_of(task)
                    if not turn:
                        rows.append((kinds, size, seconds))
                    else:
                        at = len(rows) - len(plan.shards) + number
                        rows[at] = (kinds, size, min(rows[at][2], seconds))
                    (Path(folder) / task.file).unlink()
    kinds_all = sorted({kind for kinds, _, _ in rows for kind in kinds})
    matrix = np.array([[*(kinds[kind] / 1e9 for kind in kinds_all), size / 1e9] for kinds, size, _ in rows])
    seconds_all = np.array([seconds for *_, seconds in rows])
    solution = nonnegative(matrix, seconds_all)
    predicted = matrix @ solution
    big = seconds_all > 0.05
    return {
        "shards": len(rows),
        "seconds_per_1e9_weights": dict(zip(kinds_all, solution[:-1].round(4).tolist(), strict=True)),
        "seconds_per_1e9_bytes_written": round(float(solution[-1]), 4),
        "sum_measured": round(float(seconds_all.sum()), 2),
        "sum_predicted": round(float(predicted.sum()), 2),
        "median_error_of_a_shard": round(float(np.median(np.abs(predicted / seconds_all - 1)[big])), 4),
    }


def nonnegative(matrix: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Least squares of relative errors, no coefficient below 0: columns that would be are left out, one by one."""
    use = list(range(matrix.shape[1]))
    while True:
        found = np.linalg.lstsq(matrix[:, use] / values[:, None], np.ones(len(values)), rcond=None)[0]
        if (found >= 0).all():
            whole = np.zeros(matrix.shape[1])
            whole[use] = found
            return whole
        del use[int(found.argmin())]


def _ignore(*_: object, **__: object) -> None:
    pass


def seconds_of(task: ShardTask, model: dict[str, Any]) -> float:
    kinds, _, size = work_of(task)
    rates = model["seconds_per_1e9_weights"]
    return float(sum(rates[k] * n for k, n in kinds.items()) + model["seconds_per_1e9_bytes_written"] * size) / 1e9


def traffic_of(task: ShardTask) -> int:
    """Bytes that cross the wire: read, written, read back."""
    _, read, size = work_of(task)
    return read + 2 * size


def makespan(seconds: Sequence[float], traffic: Sequence[int], workers: int, storage: float) -> float:
    """The model: processors, the longest shard, the wire; whichever is the tightest."""
    limits = {"processors": sum(seconds) / workers, "shard": max(seconds), "wire": sum(traffic) / storage}
    return max(limits.values())


def greedy(seconds: Sequence[float], workers: int) -> float:
    """The makespan of shards handed out in order to whoever is free."""
    free = [0.0] * workers
    for each in seconds:
        heapq.heappush(free, heapq.heappop(free) + each)
    return max(free)


# The simulation: real engine, real scheduler, workers that sleep.


def sleep_shard(job: Any, file: str, task: str, number: int) -> None:
    from distributed import get_worker

    worker = get_worker()
    spans = json.loads(_text(Path(job.folder, "durations.json")))
    send = {"number": number, "worker": worker.address}
    worker.log_event(job.topic, {"kind": "began", **send})
    time.sleep(spans[file]["seconds"])
    entry = {"task": task, "file": file, "size": spans[file]["size"], "sha256": "0" * 64}
    worker.log_event(job.topic, {"kind": "done", "entry": entry, "seconds": spans[file]["seconds"], **send})


_texts: dict[Path, str] = {}


def _text(path: Path) -> str:
    if path not in _texts:
        _texts[path] = path.read_text()
    return _texts[path]


def simulated_check(job: Any, mark: str, secret: str) -> dict[str, Any]:
    from distributed import get_worker

    shared = Path(job.folder, mark)
    answer = disk.temporary(shared.with_name("answer"))
    answer.write_text(f"{secret} {get_worker().address}" if shared.read_text() == secret else "")
    return {"facts": {"dsv4recipe": "simulated"}, "answer": answer.name}


async def host(address: str, count: int) -> None:
    """Worker objects in one process, until the scheduler goes."""
    from distributed import Worker

    workers = [Worker(address, nthreads=1, memory_limit=0, local_directory=tempfile.gettempdir()) for _ in range(count)]
    await asyncio.gather(*workers)
    await asyncio.gather(*(worker.finished() for worker in workers))


@contextlib.contextmanager
def deployment(work: Path, workers: int) -> Iterator[tuple[str, int]]:
    """(address, process of the scheduler)"""
    quiet = {
        "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "false",
        "DASK_DISTRIBUTED__ADMIN__SYSTEM_MONITOR__INTERVAL": "10s",
        "DASK_DISTRIBUTED__LOGGING__DISTRIBUTED": "critical",
        "PYTHONPATH": str(Path(__file__).parent.parent),
    }
    environment = {**os.environ, **quiet}
    file = work / "scheduler.json"
    file.unlink(missing_ok=True)
    log = (work / "deployment.log").open("ab")
    options = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file)]
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler", *options]
    processes = [subprocess.Popen(command, env=environment, stdout=log, stderr=log)]
    try:
        while not file.exists():
            time.sleep(0.05)
        time.sleep(0.3)
        address = json.loads(file.read_text())["address"]
        for number in range(min(HOSTS, workers)):
            count = workers // HOSTS + (number < workers % HOSTS)
            command = [sys.executable, __file__, "host", address, str(count)]
            processes.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log))
        from distributed import Client

        with Client(address, set_as_default=False) as client:
            client.wait_for_workers(workers, timeout=120)
        yield address, processes[0].pid
    finally:
        for process in reversed(processes):
            process.kill()
            process.wait()
        log.close()


def run_simulated(
    work: Path, tasks: list[ShardTask], seconds: Sequence[float], address: str, pid: int
) -> dict[str, float]:
    """The engine over sleeping tasks. From first shard to last: wall seconds, CPU seconds of scheduler and client."""
    import psutil
    import scale_out  # this file by its name: workers find the functions there

    from dsv4recipe.builder.cluster import engine

    engine.remote.make_shard, engine.remote.check = scale_out.sleep_shard, scale_out.simulated_check
    engine.facts = lambda job, threads: {"dsv4recipe": "simulated"}
    with tempfile.TemporaryDirectory(dir=work) as name:
        folder = Path(name)
        spans = {t.file: {"seconds": s, "size": t.size} for t, s in zip(tasks, seconds, strict=True)}
        (folder / "durations.json").write_text(json.dumps(spans))
        (folder / PLAN_NAME).write_text("simulated")
        marks: dict[str, float] = {}
        usage = psutil.Process(pid)

        def started(*_: object) -> None:
            if not marks:
                times = usage.cpu_times()
                marks.update(first=time.monotonic(), cpu=times.user + times.system, mine=time.process_time())

        def done(entry: journal.Entry, *_: object) -> None:
            journal.record(folder, entry)
            marks["last"] = time.monotonic()

        class Nothing(Sources):
            def watch(self, names: Any) -> None:
                pass

        dask = engine.DaskEngine(address)
        dask(iter(tasks), folder, Nothing(folder), 1, started, _ignore, done)
        times = usage.cpu_times()
        return {
            "wall": marks["last"] - marks["first"],
            "scheduler_cpu": times.user + times.system - marks["cpu"],
            "client_cpu": time.process_time() - marks["mine"],
        }


def pro_tasks(work: Path, name: str) -> tuple[Plan, list[ShardTask]]:
    source = work / "pro"
    if not source.exists():
        synthesize(source, "v4-pro", "full", headers_only=True)
    checkpoint = open_checkpoint(source)
    plan = make_plan(recipe(name, 2**30, pro=True), checkpoint)
    return plan, list(shard_tasks(plan, checkpoint))


def simulate(work: Path, model: dict[str, Any], counts: Sequence[int], scale: float) -> dict[str, Any]:
    plan, tasks = pro_tasks(work, RECIPES[0])
    seconds = [seconds_of(task, model) for task in tasks]
    traffic = [traffic_of(task) for task in tasks]
    light = [replace(task, header=b"", constants=(), pieces=()) for task in tasks]
    result: dict[str, Any] = {
        "recipe": plan.recipe["name"], "shards": len(tasks), "core_seconds": round(sum(seconds), 1),
        "longest": round(max(seconds), 2), "traffic": sum(traffic), "scale": scale, "workers": {},
        "per_worker_bytes_per_second": round(sum(traffic) / sum(seconds)),
    }  # fmt: skip
    for count in counts:
        with deployment(work, count) as (address, pid):
            slow = [each * scale for each in seconds]
            found = run_simulated(work, light, slow, address, pid)
            wires = {}
            for name, storage in STORAGE.items():
                share = [max(s, t * min(count, len(tasks)) / storage) for s, t in zip(seconds, traffic, strict=True)]
                if count in (counts[0], counts[-1]):
                    shrink = min(scale, 60 * count / sum(share))
                    wall = run_simulated(work, light, [each * shrink for each in share], address, pid)["wall"] / shrink
                    wires[name] = {
                        "simulated": round(wall, 1),
                        "model": round(makespan(seconds, traffic, count, storage), 1),
                    }
            empty = [replace(light[n % len(light)], file=f"s{n}", task=f"t{n}") for n in range(5000)]
            idle = run_simulated(work, empty, [0.0] * len(empty), address, pid)
        row = {
            "simulated": round(found["wall"] / scale, 2),
            "model": round(makespan(seconds, traffic, count, float("inf")), 2),
            "greedy": round(greedy(seconds, count), 2),
            "storage": wires,
            "empty_tasks_per_second": round(len(empty) / idle["wall"]),
            "scheduler_ms_per_empty_task": round(1000 * idle["scheduler_cpu"] / len(empty), 3),
            "client_ms_per_empty_task": round(1000 * idle["client_cpu"] / len(empty), 3),
        }
        result["workers"][str(count)] = row
        print(count, row, file=sys.stderr)
    return result


# The engine against local, on a real build.


def overhead(work: Path, rounds: int, before: dict[str, Any]) -> dict[str, Any]:
    """The same build in turn by two local threads, by two workers of one thread each that are there already, and by two
    that the build starts; added to the rounds of an earlier run."""
    import psutil
    from distributed import LocalCluster

    from dsv4recipe.builder.cluster.engine import DaskEngine

    checkpoint = slice_of(work)
    for header in checkpoint.folder.files:
        (checkpoint.folder.root / header.file).read_bytes()
    plan = make_plan(recipe("jangtq2", 64_000_000), checkpoint)
    walls: dict[str, list[float]] = defaultdict(list, before.get("walls", {}))
    cpus: dict[str, list[float]] = defaultdict(list, before.get("processor", {}))
    options: dict[str, Any] = {"threads_per_worker": 1, "memory_limit": 0, "dashboard_address": None}
    with tempfile.TemporaryDirectory(dir=work) as name, LocalCluster(n_workers=2, processes=True, **options) as cluster:
        engines = {
            "local": run_shards,
            "dask": DaskEngine(cluster.scheduler_address),
            "dask, own workers": DaskEngine(),
        }
        workers = [psutil.Process(pid) for pid in pids(cluster.scheduler_address)]

        def processor() -> float:
            return time.process_time() + sum(sum(worker.cpu_times()[:2]) for worker in workers)

        for number in range(rounds):
            for kind, engine in engines.items():
                out = Path(name) / f"{kind}-{number}"
                begin, used = time.perf_counter(), processor()
                build(plan, checkpoint, out, 2, engine=engine)
                walls[kind].append(round(time.perf_counter() - begin, 3))
                if kind != "dask, own workers":
                    cpus[kind].append(round(processor() - used, 3))
                shutil.rmtree(out)
    ratios = {k: [a / b for a, b in zip(walls[k], walls["local"], strict=True)] for k in walls if k != "local"}
    return {
        "shards": len(plan.shards),
        "rounds": len(walls["local"]),
        "walls": walls,
        "processor": cpus,
        "seconds": {kind: round(statistics.median(found), 2) for kind, found in walls.items()},
        "ratio": {kind: round(statistics.median(found), 4) for kind, found in ratios.items()},
        "processor_ratio": round(statistics.median(map(operator.truediv, cpus["dask"], cpus["local"])), 4),
    }


def pids(address: str) -> list[int]:
    from distributed import Client

    with Client(address, set_as_default=False) as client:
        return list(client.run(os.getpid).values())


def slice_of(work: Path) -> Checkpoint:
    source = work / "slice"
    if not source.exists():
        synthesize(source, preset="slice", layers=2, experts=64)
    return open_checkpoint(source)


def plot(data: dict[str, Any], out: Path) -> None:
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "scale-out"
    from matplotlib import pyplot

    found = data["simulate"]
    counts = sorted(int(count) for count in found["workers"])
    rows = [found["workers"][str(count)] for count in counts]
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 4.4))
    grid = np.unique(np.logspace(0, 10, 200, base=2))
    compute = np.maximum(found["core_seconds"] / grid, found["longest"])
    left.loglog(grid, compute, "k-", lw=1, label="model: processors, longest shard", base=2)
    left.loglog(counts, [row["simulated"] for row in rows], "o", label="simulated, real scheduler")
    for name, storage in STORAGE.items():
        left.loglog(
            grid, np.maximum(compute, found["traffic"] / storage), "--", lw=1, label=f"model: storage at {name}"
        )
    for name in STORAGE:
        points = [
            (c, r["storage"][name]["simulated"]) for c, r in zip(counts, rows, strict=True) if name in r["storage"]
        ]
        left.plot(*zip(*points, strict=True), "x", color="gray")
    left.set_xlabel("workers of one thread")
    left.set_ylabel("seconds of a build")
    left.set_title(f"V4-Pro, {found['recipe']}, {found['shards']} shards")
    left.legend(fontsize=7)
    right.semilogx(
        counts, [row["empty_tasks_per_second"] for row in rows], "o-", base=2, label="empty tasks per second"
    )
    right.set_ylim(bottom=0)
    right.set_xlabel("workers")
    right.set_ylabel("tasks per second, scheduler and workers on 2 cores")
    right.legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(out, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=("record", "simulate", "plot", "overhead"))
    parser.add_argument("work", type=Path, nargs="?", default=Path())
    parser.add_argument("-o", "--output", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", default="8,32,128,512")
    parser.add_argument("--scale", type=float, default=0.2)
    asked = parser.parse_args()
    data = json.loads(asked.output.read_text()) if asked.output and asked.output.exists() else {}
    asked.work.mkdir(parents=True, exist_ok=True)
    match asked.what:
        case "record":
            data["record"] = record(asked.work)
        case "simulate":
            counts = [int(each) for each in asked.workers.split(",")]
            data["simulate"] = simulate(asked.work, data["record"], counts, asked.scale)
        case "overhead":
            data["overhead"] = overhead(asked.work, asked.rounds, data.get("overhead", {}))
        case "plot":
            plot(data, asked.output.with_suffix(".svg"))
    if asked.what != "plot":
        print(json.dumps(data[asked.what], indent=1))
        if asked.output:
            asked.output.write_text(json.dumps(data, indent=1) + "\n")


if __name__ == "__main__":
    if sys.argv[1:2] == ["host"]:
        asyncio.run(host(sys.argv[2], int(sys.argv[3])))
    else:
        main()
