"""The text a yardstick is trained on: the King James Bible by chapters, and sums below 100 as chat turns.

The Bible is what `bible -f Gen1:1-Rev22:21` of Debian's package bible-kjv prints. Chapters are drawn by the seed: 90 %
to train on, 5 % to calibrate on, 5 % to measure on. Of all pairs of numbers below 100, 500 are held out.
"""

from __future__ import annotations

import json
import random
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsv4recipe.evaluation.chats import ASSISTANT, BOS, CLOSED, EOS, USER

SPECIAL = (BOS, EOS, "<｜▁pad▁｜>", USER, ASSISTANT, "<think>", CLOSED, "｜DSML｜", "<｜latest_reminder｜>")
"""In this order: their ids are 0 to 8."""
_VERSE = re.compile(r"^([1-3]?[A-Za-z]+)(\d+):(\d+)\s+(.*)$")
"""Ge1:1 In the beginning…"""


@dataclass(frozen=True)
class Corpus:
    """Token streams, each chapter between BOS and EOS; the tokenizer as JSON; the sums."""

    train: NDArray[np.uint16]
    calib: NDArray[np.uint16]
    dev: NDArray[np.uint16]
    tokenizer: str
    pairs: dict[str, list[list[int]]]

    def save(self, folder: Path) -> None:
        """The streams and sums beside the checkpoint."""
        for name in ("train", "calib", "dev"):
            np.save(folder / f"{name}.npy", getattr(self, name))
        (folder / "pairs.json").write_text(json.dumps(self.pairs), encoding="utf-8")


def make(seed: int, vocab: int) -> Corpus:
    """Everything from nothing."""
    parts = split(chapters(), seed)
    turns = pairs(seed)
    stored = train_tokenizer(parts["train"] + [sum_text(*pair) for pair in turns["seen"]], vocab)
    streams = {name: encoded(stored, texts) for name, texts in parts.items()}
    return Corpus(streams["train"], streams["calib"], streams["dev"], stored, turns)


def load(folder: Path) -> Corpus:
    """A corpus that was saved, with the tokenizer of the checkpoint beside it."""
    streams = [np.load(folder / f"{name}.npy") for name in ("train", "calib", "dev")]
    tokenizer = (folder / "checkpoint" / "tokenizer.json").read_text(encoding="utf-8")
    return Corpus(*streams, tokenizer, json.loads((folder / "pairs.json").read_text()))


def chapters() -> list[str]:
    """The chapters in order, verse after verse, without numbers."""
    said = subprocess.run(["bible", "-f", "Gen1:1-Rev22:21"], capture_output=True, text=True, check=True).stdout
    found: list[list[str]] = []
    last = ("", "")
    for line in said.splitlines():
        match = _VERSE.match(line)
        if match is None:
            if line.strip() and found:
                found[-1].append(line.strip())
            continue
        if (match[1], match[2]) != last:
            found.append([])
        last = (match[1], match[2])
        found[-1].append(match[4].strip())
    return [" ".join(verses) for verses in found]


def split(texts: list[str], seed: int) -> dict[str, list[str]]:
    """Chapters by their use, in a drawn order."""
    order = list(texts)
    random.Random(seed).shuffle(order)
    part = len(order) // 20
    return {"dev": order[:part], "calib": order[part : 2 * part], "train": order[2 * part :]}


def pairs(seed: int) -> dict[str, list[list[int]]]:
    """All sums below 100 in a drawn order: seen in training, and 500 held out."""
    every = [[a, b] for a in range(100) for b in range(100)]
    random.Random(seed).shuffle(every)
    return {"held": every[:500], "seen": every[500:]}


def sum_text(a: int, b: int) -> str:
    """One sum as a chat turn."""
    return f"{BOS}{USER}What is {a}+{b}?{ASSISTANT}{CLOSED}{a + b}{EOS}"


def train_tokenizer(texts: list[str], vocab: int) -> str:
    """Byte-level BPE with every digit a word of its own and the special tokens first, as JSON."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    made: Any = Tokenizer(models.BPE())
    digits = pre_tokenizers.Split(Regex(r"\d"), "isolated")
    made.pre_tokenizer = pre_tokenizers.Sequence([digits, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=vocab, special_tokens=list(SPECIAL), initial_alphabet=alphabet)
    )
    return str(made.to_str(pretty=True))


def encoded(tokenizer: str, texts: list[str]) -> NDArray[np.uint16]:
    """All texts, each between BOS and EOS."""
    from tokenizers import Tokenizer

    made: Any = Tokenizer.from_str(tokenizer)
    ids = [made.encode(f"{BOS}{text}{EOS}", add_special_tokens=False).ids for text in texts]
    return np.array([token for each in ids for token in each], np.uint16)
