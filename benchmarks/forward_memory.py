"""Peak memory and time of the layer-streamed pass at V4-Flash's real shapes. Needs torch and 8 GB of disk.

    python -m benchmarks.forward_memory WORKDIR [--tokens N]

Makes a synthetic checkpoint of two real layers with 256 experts each, runs tokens through it, and prints what the pass
said that it would take, what it took, and the size of one decoded layer. Random weights cost what real ones do.
"""

from __future__ import annotations

import argparse
import resource
import time
from pathlib import Path

import numpy as np

from dsv4recipe import open_checkpoint
from dsv4recipe.checkpoint.synth import synthesize
from dsv4recipe.forward.needs import needs
from dsv4recipe.forward.run import Pass, Settings, advance
from dsv4recipe.forward.sequences import rows
from dsv4recipe.forward.weights import SourceWeights

LAYERS, FLASH_LAYERS = 2, 43


def main() -> None:
    parser = argparse.ArgumentParser(description="Peak memory and time of the pass at real shapes.")
    parser.add_argument("work", type=Path)
    parser.add_argument("--tokens", type=int, default=512)
    given = parser.parse_args()
    folder = given.work / "two-layers"
    if not folder.exists():
        synthesize(folder, preset="slice", layers=LAYERS, experts=256)
    checkpoint = open_checkpoint(folder)
    weights = SourceWeights(checkpoint)
    draw = np.random.default_rng(0)
    run = Pass(checkpoint, rows(draw.integers(0, checkpoint.dims.vocab, given.tokens), 256), Settings(workers=2))
    said = needs(run, [weights], timed=False)
    layer = 4 * sum(int(np.prod(group.shape)) for group in run.reference.groups[0])
    began = time.monotonic()
    advance(run, weights, None, None, lambda done, total: print(f"layer {done} of {total}", flush=True))
    took = time.monotonic() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    each = took / LAYERS / run.tokens
    print(f"{run.tokens:,} tokens, {LAYERS} layers of {checkpoint.dims.experts} experts: {took:.0f} s")
    print(f"peak RSS {peak:,} B; said before the start: {said.memory:,} B; one layer decoded to float32: {layer:,} B")
    whole = took / LAYERS * FLASH_LAYERS
    print(f"{each * 1e3:.1f} ms per token and layer; V4-Flash whole, extrapolated: {whole:.0f} s")


if __name__ == "__main__":
    main()
