"""A source while it is drawn: its tensors, its config.json, the numbers that it means, and what was done to it."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.inputs.sources import Tensors

Config = dict[str, Any]


@dataclass
class Drawn:
    """`plain` has the tensors under the release's names and in its storage, and so the numbers that a bundle must hold;
    `tensors` are what is written. `base` is the sound checkpoint that all this was done to. `odd` says that some
    weights may be refused while they are read."""

    rng: random.Random
    base: Path
    folder: Path
    tensors: Tensors
    config: Config
    plain: Tensors = field(default_factory=dict)
    words: list[str] = field(default_factory=list)
    odd: bool = False

    @property
    def section(self) -> Config:
        """The part of config.json that describes the language model."""
        return self.config.get("text_config") or self.config

    def some(self, share: float) -> bool:
        return self.rng.random() < share

    def one(self, *choices: str) -> str:
        return self.rng.choice(choices)

    def say(self, *words: str) -> None:
        self.words += words
