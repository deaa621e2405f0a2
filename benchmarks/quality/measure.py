"""The models through the forward pass, one after the other; what is measured is written after each."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.quality.models import Model, models
from dsv4recipe import calibrate, open_checkpoint
from dsv4recipe.checkpoint.graph import Checkpoint, Group
from dsv4recipe.evaluation.bound import weights_digest
from dsv4recipe.evaluation.evidence import recipe_digest
from dsv4recipe.evaluation.score import alone, compared, scores
from dsv4recipe.evaluation.text import Text, read_text
from dsv4recipe.formats.encode import ENCODER_VERSION
from dsv4recipe.forward.run import Final, Pass, advance
from dsv4recipe.forward.weights import Array, Mixed, PlannedWeights, SourceWeights, Weights
from dsv4recipe.plan.model import Plan
from dsv4recipe.recipe.model import Recipe
from dsv4recipe.recipe.show import recipe_data
from dsv4recipe.records.model import Record
from dsv4recipe.records.read import load_record
from dsv4recipe.version import VERSION

YARDSTICK = Path(__file__).resolve().parent.parent.parent / "tests" / "data" / "yardstick"
RECORDED = 20_480
"""Tokens that calibrate the `gptq` fits: half of them chapters, half sums that the training saw."""


class Watched:
    """Weights that add up how far the routed experts are from the source."""

    def __init__(self, weights: Weights, exact: SourceWeights) -> None:
        self.weights = weights
        self.exact = exact
        self.sums: list[tuple[float, float]] = []

    @property
    def title(self) -> str:
        return self.weights.title

    def tensor(self, group: Group, number: int = 0) -> Array:
        found = self.weights.tensor(group, number)
        if group.experts:
            exact = self.exact.tensor(group, number).astype(np.float64)
            self.sums.append((float(((found - exact) ** 2).sum()), float((exact**2).sum())))
        return found

    def rows(self, group: Group, wanted: Array) -> Array:
        return self.weights.rows(group, wanted)

    def differs(self, group: Group) -> bool:
        return self.weights.differs(group)

    @property
    def rmse(self) -> float:
        return math.sqrt(sum(error for error, _ in self.sums) / sum(power for _, power in self.sums))


def chats(pairs: list[list[int]], path: Path) -> Path:
    """Sums as a file of chats."""
    turns = [
        [{"role": "user", "content": f"What is {a}+{b}?"}, {"role": "assistant", "content": str(a + b)}]
        for a, b in pairs
    ]
    path.write_text("\n".join(map(json.dumps, turns)), encoding="utf-8")
    return path


def measure(out: Path, work: Path, tokens: int, sums: int, only: list[str]) -> None:
    """Measures what the file does not hold yet: rows of 256 of held-out chapters, and held-out sums."""
    checkpoint = open_checkpoint(YARDSTICK / "checkpoint")
    pairs = json.loads((YARDSTICK / "pairs.json").read_text())
    record = recorded(checkpoint, pairs["seen"], work)
    texts = {
        "dev": read_text([YARDSTICK / "dev.npy"], checkpoint, 256, tokens),
        "sums": read_text([chats(pairs["held"][:sums], work / "sums.jsonl")], checkpoint),
    }
    runner = _Runner(checkpoint, texts)
    data = json.loads(out.read_text()) if out.exists() else {"models": {}}
    data |= runner.head | {"not": {}}
    for model in models(checkpoint, record):
        if not isinstance(model, Model):
            data["not"][model[0]] = model[1]
            continue
        title = f"{model.group}: {model.name}"
        held = data["models"].get(title, {}).get("a", {}).get("plan")
        if held != model.plan.digest and (not only or model.name in only):
            data["models"][title] = runner.row(model)
            print(f"{title}: KL {data['models'][title]['kl']['mean']:.5f}", flush=True)
        if title in data["models"]:
            data["models"][title]["how"] = model.how
        out.write_text(json.dumps(data, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


def recorded(checkpoint: Checkpoint, seen: list[list[int]], work: Path) -> Record:
    """The activation record of the calibrated fits, made once."""
    work.mkdir(parents=True, exist_ok=True)
    folder = work / "record"
    if folder.exists():
        return load_record(folder)
    made = [YARDSTICK / "calib.npy", chats(seen, work / "seen.jsonl")]
    return calibrate(checkpoint, made, out=folder, length=256, tokens=RECORDED)


class _Runner:
    """The source's passes, and each model's beside them."""

    def __init__(self, checkpoint: Checkpoint, texts: dict[str, Text]) -> None:
        self.checkpoint = checkpoint
        self.texts = texts
        self.exact = SourceWeights(checkpoint)
        self.runs = {name: Pass(checkpoint, text.ids) for name, text in texts.items()}
        self.source = {name: self._through(name, self.exact) for name in texts}

    @property
    def head(self) -> dict[str, Any]:
        """What all rows share."""
        folder = self.checkpoint.folder
        source = {
            "name": "tests/data/yardstick/checkpoint",
            "config_digest": folder.config_digest,
            "header_digest": folder.header_digest,
            "weights_digest": weights_digest(self.checkpoint),
            "tensors": folder.tensors,
            "bytes": folder.bytes,
        }
        versions = {"dsv4recipe": VERSION, "encoders": ENCODER_VERSION}
        versions |= self.runs["dev"].reference.library.versions
        scored = {}
        for name, text in self.texts.items():
            logits = self.source[name].logits
            found = scores(self.runs[name].torch, {"source": logits}, text, [])["source"]
            scored[name] = alone(found, text)
        against = scored["dev"] | {"answers": scored["sums"]["answers"]}
        return {"source": source, "text": self.texts["dev"].data(), "versions": versions, "against": against}

    def row(self, model: Model) -> dict[str, Any]:
        """The figures of a model, as quality.json has them, and the experts' RMSE."""
        planned = PlannedWeights(model.plan, self.checkpoint, model.record)
        watched = Watched(planned, self.exact)
        weights: Weights = watched
        if model.group == "alone":
            weights = Mixed(self.exact, watched, (g.names for g in self.checkpoint.groups if g.experts), model.name)
        found: dict[str, Any] = {"a": _facts(model.plan, model.name), "how": model.how}
        for name in ("dev",) if model.group == "alone" else ("dev", "sums"):
            text, run = self.texts[name], self.runs[name]
            pair = {"source": self.source[name].logits, "a": self._through(name, weights).logits}
            scored = scores(run.torch, pair, text, [("a", "source")])
            mine = alone(scored["a"], text)
            if name == "sums":
                found["answers"] = mine["answers"]
            else:
                found |= mine | compared(scored["a"], scored["source"], "source", text)
                found |= {"tokens": len(scored["a"].loss), "rmse": watched.rmse}
        if model.shipped is not None:
            found["recipe_digest"] = _digest_of(model.shipped)
        return found

    def _through(self, name: str, weights: Weights) -> Final:
        final = advance(self.runs[name], weights, None, None, lambda done, total: None, "states")
        return Final(final.reference, final.hidden.copy(), final.head)


def _facts(plan: Plan, name: str) -> dict[str, Any]:
    return {
        "kind": "recipe",
        "name": name,
        "plan": plan.digest,
        "recipe_digest": recipe_digest(plan.recipe),
        "runtime": plan.target["runtime"],
        "bytes": plan.tensor_bytes,
        "bits_per_weight": plan.bits_per_weight,
    }


def _digest_of(recipe: Recipe) -> str:
    return recipe_digest(recipe_data(recipe))
