"""A GGUF build against the quantizer library alone: the same matrices, already decoded, in as many threads.

    python benchmarks/gguf_build.py WORKDIR [--experts 8] [--recipe ds4-q2] [--workers 2] [-o RESULT.json]

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
import shutil
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from dsv4recipe import build, load_recipe, make_plan, open_checkpoint
from dsv4recipe.builder.pace import measure
from dsv4recipe.checkpoint.graph import Checkpoint, Group
from dsv4recipe.checkpoint.synth import synthesize
from dsv4recipe.formats import Ggml
from dsv4recipe.formats.base import BLOCKS
from dsv4recipe.formats.columns import column_weights
from dsv4recipe.formats.decode import decode_source
from dsv4recipe.formats.ggml_library import QUANTIZED, check_library, quantize
from dsv4recipe.plan.model import Plan


def matrices(checkpoint: Checkpoint, group: Group) -> list[np.ndarray]:
    found = []
    for tensor in group.members:
        root = checkpoint.folder.root
        weight = np.fromfile(root / tensor.file, np.uint8, tensor.weight.nbytes, offset=tensor.weight.start)
        scale = None
        if tensor.scale is not None:
            scale = np.fromfile(root / tensor.scale_file, np.uint8, tensor.scale.nbytes, offset=tensor.scale.start)
        found.append(decode_source(tensor.source, weight, scale))
    return found


def library_seconds(plan: Plan, checkpoint: Checkpoint, workers: int) -> dict[str, float]:
    """Seconds of the quantizer by type, for all matrices of the plan, one group in memory at a time."""
    groups = {group.names: group for group in checkpoint.groups}
    spent: Counter[str] = Counter()
    with ThreadPoolExecutor(workers) as pool:
        for module in plan.modules:
            fmt = module.format
            if not isinstance(fmt, Ggml) or fmt.type not in QUANTIZED:
                continue
            weights, size = BLOCKS[fmt.type]
            jobs = []
            for matrix in matrices(checkpoint, groups[module.sources]):
                energy = np.square(matrix).sum(axis=0) if fmt.importance == "energy" else None
                importance = None if energy is None else column_weights(energy)
                jobs += [(rows, importance) for rows in np.array_split(matrix, max(1, matrix.size >> 20))]

            def work(
                job: tuple[np.ndarray, Any], type_: str = fmt.type, each: int = size, block: int = weights
            ) -> None:
                rows, importance = job
                out = np.empty((rows.shape[0], rows.shape[1] // block * each), np.uint8)
                quantize(type_, np.ascontiguousarray(rows), importance, out)

            begin = time.perf_counter()
            list(pool.map(work, jobs))
            spent[fmt.type] += time.perf_counter() - begin
    return dict(spent)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("--experts", type=int, default=8)
    parser.add_argument("--recipe", default="ds4-q2")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("-o", "--output", type=Path)
    asked = parser.parse_args()
    source = asked.work / f"slice-{asked.experts}"
    if not source.exists():
        asked.work.mkdir(parents=True, exist_ok=True)
        synthesize(source, preset="slice", experts=asked.experts)
    checkpoint = open_checkpoint(source)
    recipe = load_recipe(asked.recipe)
    plan = make_plan(replace(recipe, target=replace(recipe.target, runtime="llama.cpp", backends=())), checkpoint)
    version = check_library()
    warm = open_checkpoint(synthesize(asked.work / "warm", preset="tiny-256").root)
    build(make_plan(replace(recipe, target=replace(recipe.target, runtime="llama.cpp", backends=())), warm), warm,
          asked.work / "warm.gguf")  # fmt: skip
    expected = measure(plan, asked.workers)
    library = library_seconds(plan, checkpoint, asked.workers)
    out = asked.work / "out.gguf"
    begin = time.perf_counter()
    build(plan, checkpoint, out, asked.workers)
    seconds = time.perf_counter() - begin
    for path in (out, asked.work / "out.gguf.manifest.json", asked.work / "warm.gguf"):
        path.unlink(missing_ok=True)
    (asked.work / "warm.gguf.manifest.json").unlink(missing_ok=True)
    shutil.rmtree(asked.work / "warm")
    weights = Counter[str]()
    for module in plan.modules:
        if isinstance(module.format, Ggml) and module.format.type in QUANTIZED:
            weights[module.format.type] += module.weights
    result = {
        "machine": {"cores": os.cpu_count(), "machine": platform.machine(), "system": platform.system()},
        "library": version,
        "recipe": asked.recipe,
        "workers": asked.workers,
        "weights": dict(weights),
        "library_seconds": library,
        "build_seconds": seconds,
        "expected_seconds": expected.expected if expected else None,
        "bytes": plan.shards[0].file_bytes,
        "ratio": sum(library.values()) / seconds,
    }
    for type_, count in weights.items():
        print(f"{type_:8} {count:14,} weights  {count / library[type_] / 1e6:7.1f} M/s by the library alone")
    print(
        f"library {sum(library.values()):.2f} s, build {seconds:.2f} s: {100 * result['ratio']:.1f} % of its throughput"
    )
    if expected:
        print(f"said before starting: {expected.expected:.1f} s")
    if asked.output:
        asked.output.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
