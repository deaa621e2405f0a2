"""A two-layer slice at V4-Flash's real shapes, end to end: `calibrate`, then `build` by its record. Needs torch.

    python -m benchmarks.calibrated_slice WORK [--layers 2] [--experts 8] [--tokens 2048] [--workers 2]

Synthetic weights and random token ids: time and memory are real, quality is not. Prints wall and processor seconds and
the peak RSS of each command in a process of its own.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import numpy as np

from benchmarks.runs import PROGRAM, timed
from dsv4recipe import open_checkpoint
from dsv4recipe.checkpoint.synth import synthesize


def main() -> None:
    parser = argparse.ArgumentParser(description="calibrate and build a slice at real shapes.")
    parser.add_argument("work", type=Path)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--experts", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=2048)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--recipe", default="two-bit")
    given = parser.parse_args()
    work: Path = given.work
    work.mkdir(parents=True, exist_ok=True)
    source, text, record, out = (work / name for name in ("source", "text.npy", "record", "out"))
    if not source.exists():
        synthesize(source, preset="slice", layers=given.layers, experts=given.experts)
    dims = open_checkpoint(source).dims
    np.save(text, np.random.default_rng(0).integers(0, dims.vocab, given.tokens))
    for folder in (record, out):
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{dims.layers} layers, {dims.experts} experts of {dims.inter} × {dims.hidden}, {given.tokens:,} tokens")
    calibrate = [*PROGRAM, "calibrate", str(source), "--text", str(text), "--length", "256", "-o", str(record)]
    build = [*PROGRAM, "build", given.recipe, "--source", str(source), "--calibration", str(record), "-o", str(out)]
    for name, command in (("calibrate", calibrate), ("build", [*build, "--workers", str(given.workers)])):
        run = timed(command)
        print(
            f"{name}: {run['wall']:.1f} s, {run['cpu']:.1f} core-seconds, peak RSS {run['rss_mb']:.0f} MB", flush=True
        )


if __name__ == "__main__":
    main()
