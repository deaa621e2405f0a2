"""A GGUF build against the quantizer library alone: the same matrices, already decoded, in as many threads.

    python -m benchmarks.gguf_build WORKDIR [--experts 16] [--recipe ds4-q2] [--workers 2] [-o RESULT.json]

WORKDIR gets a synthetic slice at V4-Flash's widths. The library's part is ggml_quantize_chunk over all rows of every
matrix of a type that it quantizes, nothing else: no reading, no decoding, no importance, no writing, no hashing. The
build's is `build`, first byte to last rename, in a process that has its encoders compiled. Their ratio is what our way
through the data costs.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from dsv4recipe import build, load_recipe, make_plan, open_checkpoint
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.checkpoint.synth import synthesize
from dsv4recipe.formats import Ggml
from dsv4recipe.formats.ggml.library import QUANTIZED, check_library
from dsv4recipe.plan.model import Plan, PlannedModule
from tests.gguf.stock import stock, values


def quantized(plan: Plan) -> dict[PlannedModule, Ggml]:
    """The modules that the library quantizes."""
    found = {module: module.format for module in plan.modules if isinstance(module.format, Ggml)}
    return {module: fmt for module, fmt in found.items() if fmt.type in QUANTIZED}


def library_seconds(plan: Plan, checkpoint: Checkpoint, workers: int) -> dict[str, float]:
    """Seconds of the quantizer by type, for all matrices of the plan, one group in memory at a time."""
    stems = {group.names: group.stem for group in checkpoint.groups}
    spent: Counter[str] = Counter()
    with ThreadPoolExecutor(workers) as pool:
        for module, fmt in quantized(plan).items():
            types, rows, importance = [], [], []
            for matrix in values(checkpoint, stems[module.sources]):
                energy = np.square(matrix).sum(axis=0) if fmt.importance == "energy" else None
                parts = np.array_split(matrix, max(1, matrix.size >> 20))
                types += [fmt.type] * len(parts)
                rows += parts
                importance += [energy] * len(parts)
            begin = time.perf_counter()
            for _ in pool.map(stock, types, rows, importance):
                pass
            spent[fmt.type] += time.perf_counter() - begin
    return dict(spent)


def build_seconds(plan: Plan, checkpoint: Checkpoint, work: Path, workers: int) -> tuple[float, float, float]:
    """Seconds of the build, those of the processor, and those that it said before it started."""
    said: list[float] = []

    def on_event(event: dict[str, Any]) -> None:
        if event["event"] == "plan_loaded":
            said.append(event["seconds"])

    with TemporaryDirectory(dir=work) as folder:
        begin, used = time.perf_counter(), time.process_time()
        build(plan, checkpoint, Path(folder) / "out.gguf", workers=workers, on_event=on_event)
        return time.perf_counter() - begin, time.process_time() - used, said[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("--experts", type=int, default=16)
    parser.add_argument("--recipe", default="ds4-q2")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("-o", "--output", type=Path)
    asked = parser.parse_args()
    recipe = load_recipe(asked.recipe)
    recipe = replace(recipe, target=replace(recipe.target, runtime="llama.cpp", backends=()))
    plans = []
    for name, preset, experts in (("warm", "tiny-256", 8), (f"slice-{asked.experts}", "slice", asked.experts)):
        source = asked.work / name
        if not source.exists():
            synthesize(source, preset=preset, experts=experts)
        checkpoint = open_checkpoint(source)
        plans.append((make_plan(recipe, checkpoint), checkpoint))
    version = check_library()
    build_seconds(*plans[0], asked.work, asked.workers)
    library = library_seconds(*plans[1], asked.workers)
    seconds, used, said = build_seconds(*plans[1], asked.work, asked.workers)
    weights: Counter[str] = Counter()
    for module, fmt in quantized(plans[1][0]).items():
        weights[fmt.type] += module.weights
    ratio = sum(library.values()) / seconds
    for type_, count in weights.items():
        print(f"{type_:8} {count:14,} weights  {count / library[type_] / 1e6:7.1f} M/s by the library alone")
    print(f"library {sum(library.values()):.2f} s, build {seconds:.2f} s: {100 * ratio:.1f} % of its throughput")
    print(f"said before starting: {said:.1f} s; processor time of the build: {used:.2f} s")
    if asked.output:
        machine = {"cores": os.cpu_count(), "machine": platform.machine(), "system": platform.system()}
        result = {
            "machine": machine, "library": version, "recipe": asked.recipe, "workers": asked.workers,
            "weights": weights, "library_seconds": library, "build_seconds": seconds, "build_cpu_seconds": used,
            "said_seconds": said, "ratio": ratio,
        }  # fmt: skip
        asked.output.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
