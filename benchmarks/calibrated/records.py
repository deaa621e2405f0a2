"""Activation records of the yardstick, by what they were made of. Writes folders below WORK/records."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.quality.measure import YARDSTICK, chats
from dsv4recipe.calibration.run import calibrate_to
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.evaluation.text import Text, TokenSequence, read_text
from dsv4recipe.forward.run import Settings
from dsv4recipe.records.model import Record
from dsv4recipe.records.names import ENTRIES, EXPERTS
from dsv4recipe.records.read import load_record

LENGTH = 256
SEEDS = 10
LITTLE = 25
"""Rows of 256 tokens in the records of 6,400 tokens."""
Make = Callable[["Corpus"], Text]


class Corpus:
    """What may be calibrated on: rows of chapters that neither training nor `dev.npy` have, and sums of the training
    (the held-out ones are for the test)."""

    def __init__(self, checkpoint: Checkpoint, work: Path) -> None:
        self.checkpoint = checkpoint
        self.work = work

    def rows(self, count: int, seed: int | None = None) -> Text:
        """The first `count` rows of 256 tokens, or as many drawn by a seed."""
        text = read_text([YARDSTICK / "calib.npy"], self.checkpoint, LENGTH)
        chosen = np.arange(count)
        if seed is not None:
            chosen = np.sort(np.random.default_rng(seed).permutation(len(text.sequences))[:count])
        return Text(tuple(text.sequences[row] for row in chosen), text.files, LENGTH)

    def sums(self, count: int) -> Text:
        """`count` sums of the training, one a sequence, drawn by seed 0."""
        pairs = json.loads((YARDSTICK / "pairs.json").read_text(encoding="utf-8"))["seen"]
        chosen = np.random.default_rng(0).permutation(len(pairs))[:count]
        file = chats([pairs[number] for number in chosen], self.work / f"sums-{count}.jsonl")
        return read_text([file], self.checkpoint, LENGTH)


def both(text: Text, sums: Text) -> Text:
    """Chapters, then sums."""
    moved = tuple(TokenSequence(each.ids, each.scored, each.answer, 1) for each in sums.sequences)
    return Text(text.sequences + moved, text.files + sums.files, LENGTH)


RECORDS: dict[str, Make] = {
    "large": lambda corpus: both(corpus.rows(200), corpus.sums(700)),
    "chapters": lambda corpus: corpus.rows(80),
    "sums": lambda corpus: corpus.sums(700),
    **{
        f"little {seed}": lambda corpus, seed=seed: corpus.rows(LITTLE, seed)  # type: ignore[misc]
        for seed in range(SEEDS)
    },
}
"""large: 51,200 tokens of chapters and 700 sums (about 10,000 tokens). little: 6,400 tokens of chapters."""


def record(name: str, checkpoint: Checkpoint, work: Path, modules: bool = False) -> Record:
    """The record of that name, made if it is not there yet; with `modules`, inputs of all matrices too."""
    folder = work / "records" / (name.replace(" ", "-") + ("-all" if modules else ""))
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        text = RECORDS[name](Corpus(checkpoint, work))
        print(f"recording {name}: {text.tokens:,} tokens", flush=True)
        calibrate_to(checkpoint, text, folder, ENTRIES if modules else (EXPERTS,), settings=Settings(workers=1))
    return load_record(folder)
