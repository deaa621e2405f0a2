"""The routed experts of the yardstick in one format, all else exact: how far the model's answers move. Needs torch."""

from __future__ import annotations

import json
import math
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.quality.measure import YARDSTICK, Watched, chats
from benchmarks.quality.models import stand_in
from dsv4recipe import make_plan, open_checkpoint
from dsv4recipe.checkpoint.graph import Group
from dsv4recipe.evaluation.score import alone, compared, scores
from dsv4recipe.evaluation.text import read_text
from dsv4recipe.formats.base import wants_record
from dsv4recipe.forward.run import Final, Pass, Settings, advance
from dsv4recipe.forward.weights import Array, Mixed, PlannedWeights, SourceWeights, Weights
from dsv4recipe.plan.model import Plan
from dsv4recipe.recipe.load import parse_recipe
from dsv4recipe.recipe.model import Recipe
from dsv4recipe.recipe.shipped import recipe_path
from dsv4recipe.records.model import Record


class Remembered:
    """Weights that encode each matrix of a routed expert once, for several texts."""

    def __init__(self, weights: Weights) -> None:
        self.weights = weights
        self.kept: dict[tuple[object, int], Array] = {}

    @property
    def title(self) -> str:
        return self.weights.title

    def tensor(self, group: Group, number: int = 0) -> Array:
        key = (group.names, number)
        if key not in self.kept:
            self.kept[key] = self.weights.tensor(group, number)
        return self.kept[key]

    def rows(self, group: Group, wanted: Array) -> Array:
        return self.weights.rows(group, wanted)

    def differs(self, group: Group) -> bool:
        return self.weights.differs(group)


class Bench:
    """Texts of the test, and the source's logits on them."""

    def __init__(self, tokens: int, sums: int) -> None:
        self.checkpoint = open_checkpoint(YARDSTICK / "checkpoint")
        self.exact = SourceWeights(self.checkpoint)
        pairs = json.loads((YARDSTICK / "pairs.json").read_text(encoding="utf-8"))["held"][:sums]
        with tempfile.TemporaryDirectory() as folder:
            self.texts = {
                "dev": read_text([YARDSTICK / "dev.npy"], self.checkpoint, 256, tokens),
                "sums": read_text([chats(pairs, Path(folder) / "sums.jsonl")], self.checkpoint),
            }
        self.runs = {name: Pass(self.checkpoint, text.ids, Settings(workers=1)) for name, text in self.texts.items()}
        self.source = {name: self._through(name, self.exact) for name in self.texts}

    def experts(self, fmt: str, half: str, record: Record | None) -> dict[str, Any]:
        """The figures of routed experts in the format that `fmt` spells as a recipe does, scales in `half`."""
        text = recipe_path("q4q8").read_text(encoding="utf-8")
        for old, new in (
            ("{affine: {bits: 4, group-size: 32}}", f"{{{fmt}}}"), ("half: float16", f"half: {half}"),
            ("mtp: keep", "mtp: drop"),
        ):  # fmt: skip
            assert old in text
            text = text.replace(old, new)
        plan = self.plan(parse_recipe(text, "experts.yaml"), record)
        chosen = [group.names for group in self.checkpoint.groups if group.experts]
        return self.figures(Mixed(self.exact, self._planned(plan, record), chosen, fmt))

    def recipe(self, recipe: Recipe, record: Record | None) -> dict[str, Any]:
        """The figures of a whole recipe; layers by number are those at the same depth."""
        plan = self.plan(stand_in(recipe, self.checkpoint)[0], record)
        return self.figures(self._planned(plan, record)) | {"bytes": plan.tensor_bytes, "bits": plan.bits_per_weight}

    def plan(self, recipe: Recipe, record: Record | None) -> Plan:
        asks = any(not isinstance(rule.action, str) and wants_record(rule.action) for rule in recipe.rules)
        recipe = replace(recipe, rules=tuple(replace(rule, optional=True) for rule in recipe.rules))
        return make_plan(recipe, self.checkpoint, importance=record if asks else None)

    def figures(self, weights: Weights) -> dict[str, Any]:
        watched = Watched(Remembered(weights), self.exact)
        found: dict[str, Any] = {}
        for name, text in self.texts.items():
            models = {"source": self.source[name].logits, "this": self._through(name, watched).logits}
            scored = scores(self.runs[name].torch, models, text, [("this", "source")])
            found[name] = alone(scored["this"], text) | compared(scored["this"], scored["source"], "source", text)
        return found | {"rmse": watched.rmse if watched.sums else math.nan}

    def _planned(self, plan: Plan, record: Record | None) -> PlannedWeights:
        return PlannedWeights(plan, self.checkpoint, record if plan.importance is not None else None)

    def _through(self, name: str, weights: Weights) -> Final:
        final = advance(self.runs[name], weights, None, None, lambda done, total: None, "states")
        return Final(final.reference, final.hidden.copy(), final.head)
