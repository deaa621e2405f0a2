"""Real shards timed, alone and on one thread, and the model's rates fitted to them."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.scale_out.model import fit, work_of
from benchmarks.scale_out.world import SMALL, recipe, slice_of
from dsv4recipe import make_plan
from dsv4recipe.builder.engine import Listener, Work
from dsv4recipe.builder.local import run_shards
from dsv4recipe.builder.tasks import shard_tasks
from dsv4recipe.files.sources import Sources

RECIPES = ("jangtq2", "q4q8", "q4q8, fit: mse")
TURNS = 2


def record(work: Path) -> dict[str, Any]:
    """Processor seconds of every shard of a slice by three recipes, the better of two turns each; and the fit."""
    checkpoint = slice_of(work, layers=2, experts=16)
    rows = []
    for name in RECIPES:
        plan = make_plan(recipe(name, SMALL), checkpoint)
        with tempfile.TemporaryDirectory(dir=work) as folder, Sources(checkpoint.folder.root) as sources:
            for task in shard_tasks(plan, checkpoint):
                times = []
                for _ in range(TURNS):
                    begin = time.process_time()
                    run_shards(Work([task], Path(folder), sources), Listener())
                    times.append(time.process_time() - begin)
                    (Path(folder) / task.file).unlink()
                rows.append((work_of(task)[0], task.size, min(times)))
    return {"layers": 2, "experts": 16, "recipes": RECIPES, **fit(rows)}
