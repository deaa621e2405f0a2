"""Peak memory and time of `evaluate` at V4-Flash's real shapes. Needs torch and 10 GB of disk.

    python -m benchmarks.forward_memory WORKDIR [--tokens N] [--recipe NAME] [--device DEVICE]

Makes a synthetic checkpoint of two real layers (compress ratios 4 and 128, a hash table in the first, 256 experts, the
real vocabulary), measures a recipe on random tokens, and prints what `evaluate` said that it would take, what it took,
and the size of one layer decoded to float32. Random weights cost what real ones do.
"""

from __future__ import annotations

import argparse
import resource
import time
from pathlib import Path

import numpy as np

from dsv4recipe import evaluate, open_checkpoint
from dsv4recipe.api.evaluate import Wishes
from dsv4recipe.checkpoint.synth import synthesize_config
from dsv4recipe.checkpoint.synth_config import synth_config
from dsv4recipe.evaluation.text import Text
from dsv4recipe.forward.needs import Needs
from dsv4recipe.forward.run import Settings

FLASH_LAYERS = 43
ALLOWED = 2 << 30
"""Bytes beside one decoded layer and the states."""


def source(folder: Path) -> Path:
    """The checkpoint, made once."""
    if not folder.exists():
        config = synth_config("v4-flash", "full", layers=2)
        config |= {"compress_ratios": [4, 128], "num_hash_layers": 1, "num_nextn_predict_layers": 0}
        synthesize_config(folder, config)
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description="Peak memory and time of `evaluate` at real shapes.")
    parser.add_argument("work", type=Path)
    parser.add_argument("--tokens", type=int, default=1024)
    parser.add_argument("--recipe", default="q4q8")
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    folder = source(given.work / "two-layers")
    checkpoint = open_checkpoint(folder)
    ids = given.work / "ids.npy"
    np.save(ids, np.random.default_rng(0).integers(0, checkpoint.dims.vocab, given.tokens))
    said: list[Needs] = []
    marks: dict[str, list[float]] = {}

    def before(needs: Needs, text: Text) -> None:
        print(f"{text.tokens:,} tokens; said before the start: {needs.memory:,} B, {needs.seconds:.0f} s", flush=True)
        said.append(needs)

    def told(what: str, done: int, total: int) -> None:
        marks.setdefault(what, []).append(time.monotonic())
        print(f"{what}: layer {done} of {total}", flush=True)

    wishes = Wishes(length=256, settings=Settings(device=given.device, workers=2))
    evaluate(given.recipe, folder, text=[ids], wishes=wishes, told=told, before=before)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    layer = 4 * sum(int(np.prod(group.shape)) for group in checkpoint.groups if group.slot.layer == 0)
    states = said[0].states
    allowed = layer + states + ALLOWED
    print(
        f"peak RSS {peak:,} B; one layer decoded to float32 {layer:,} B, states {states:,} B, and 2 GiB: {allowed:,} B"
    )
    print("within" if peak <= allowed else "BEYOND", f"the bound, {peak / allowed:.2f} of it")
    for what, times in marks.items():
        each = (times[-1] - times[0]) / checkpoint.dims.layers
        print(
            f"{what}: {1e3 * each / given.tokens:.1f} ms per token and layer; all {FLASH_LAYERS} layers of V4-Flash, "
            f"extrapolated: {each * FLASH_LAYERS / 60:.0f} min for these tokens"
        )


if __name__ == "__main__":
    main()
