"""Trains a yardstick: `python -m benchmarks.yardstick OUT`. Needs torch and Debian's package bible-kjv.

    python -m benchmarks.yardstick OUT [--steps N] [--streams FOLDER] [--seed N] [--wide] [--minutes N]

OUT becomes what tests/data/yardstick is: checkpoint/, train.npy, calib.npy, dev.npy, pairs.json. `--streams` takes the
token streams, sums and tokenizer of another yardstick, so that losses can be compared. `--minutes` ends the training
early. A training that was killed goes on from OUT/work. `--wide` has hidden size 512 and 32 experts, of which 4 are
active; it wants a GPU. What is not trained: the indexer (no gradient in transformers' class) and the MTP
stage (not in the class).
"""

from __future__ import annotations

import argparse
import math
import shutil
import time
from dataclasses import replace
from pathlib import Path

from benchmarks.yardstick import corpus as corpora
from benchmarks.yardstick.export import export
from benchmarks.yardstick.train import Recipe, new_model, stored_state, train
from dsv4recipe.checkpoint.synth_config import synth_config

VOCAB = 1024


def main() -> None:
    parser = argparse.ArgumentParser(description="Makes a small DeepSeek-V4 that has learned something.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=Recipe.steps)
    parser.add_argument("--streams", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--wide", action="store_true")
    parser.add_argument("--minutes", type=float, default=math.inf)
    given = parser.parse_args()
    until = time.time() + 60 * given.minutes
    config = synth_config("v4-flash", "tiny-256", layers=6, experts=32 if given.wide else 8)
    config["vocab_size"] = VOCAB
    if given.wide:
        config |= {"hidden_size": 512, "num_experts_per_tok": 4}
    work = given.out / "work"
    work.mkdir(parents=True, exist_ok=True)
    corpus = corpora.load(given.streams) if given.streams else corpora.make(given.seed, VOCAB)
    recipe = replace(Recipe(), steps=given.steps, seed=given.seed, rounded=round(given.steps * 910 / 2550))
    model = new_model(config, given.seed)
    print(
        f"{sum(p.numel() for p in model.parameters()):,} weights, {len(corpus.train):,} tokens to train on", flush=True
    )
    done = train(model, corpus, recipe, work, until)
    checkpoint = given.out / "checkpoint"
    if checkpoint.exists():
        shutil.rmtree(checkpoint)
    export(checkpoint, config, stored_state(model), corpus.tokenizer, given.seed)
    corpus.save(given.out)
    print(f"{checkpoint} after {done:,} of {recipe.steps:,} steps", flush=True)


if __name__ == "__main__":
    main()
