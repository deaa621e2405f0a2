"""Every shipped recipe and fit on the yardstick: the tables of docs/evidence/quality.md. Needs torch.

    python -m benchmarks.quality FILE.json [--tokens N] [--sums N] [--only NAME…]
    python -m benchmarks.quality FILE.json --page docs/evidence

The first form measures what FILE does not hold yet and writes after each model, so that it can be stopped and go on.
The second writes the table into docs/evidence/quality.md and draws docs/evidence/quality.svg. Rules that name
layers which the yardstick does not have match nothing there;
ds4's recipes are planned for llama.cpp: ds4 runs one size of model alone.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from dsv4recipe import RecipeError, load_recipe, make_plan, open_checkpoint
from dsv4recipe.checkpoint.graph import Checkpoint, Group
from dsv4recipe.evaluation.score import alone, compared, scores
from dsv4recipe.evaluation.statistics import spearman
from dsv4recipe.evaluation.text import Text, read_text
from dsv4recipe.forward.run import Final, Pass, advance
from dsv4recipe.forward.weights import Array, PlannedWeights, SourceWeights, Weights
from dsv4recipe.plan.model import Plan
from dsv4recipe.recipe.load import parse_recipe
from dsv4recipe.recipe.shipped import recipe_path, shipped_recipes

ROOT = Path(__file__).resolve().parent.parent
YARDSTICK = ROOT / "tests" / "data" / "yardstick"
FITS = {
    f"affine {bits} g{group} {fit}": f"bits: {bits}, group-size: {group}, fit: {fit}"
    for bits, group in ((2, 64), (3, 128), (4, 32))
    for fit in ("minmax", "mse")
}
"""q4q8 with other routed experts."""
FIRST = ("q4q8", "q3-mixed", "jangtq2", "universal", "native", *FITS)


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


def plans(checkpoint: Checkpoint) -> Iterator[tuple[str, Plan | str]]:
    """Each model with its plan, or with the reason why it has none."""
    others = [name for name in shipped_recipes() if name not in FIRST]
    for name in (*FIRST, *others):
        try:
            if name in FITS:
                text = recipe_path("q4q8").read_text(encoding="utf-8")
                recipe = parse_recipe(text.replace("bits: 4, group-size: 32", FITS[name]), f"{name}.yaml")
            else:
                recipe = load_recipe(name)
            recipe = replace(recipe, rules=tuple(replace(rule, optional=True) for rule in recipe.rules))
            if recipe.target.runtime == "ds4":
                recipe = replace(recipe, target=replace(recipe.target, runtime="llama.cpp", backends=()))
            yield name, make_plan(recipe, checkpoint)
        except RecipeError as error:
            yield name, error.diagnostics[0].message


def texts(checkpoint: Checkpoint, tokens: int, sums: int) -> dict[str, Text]:
    """Rows of 256 of the held-out chapters, and held-out sums."""
    pairs = json.loads((YARDSTICK / "pairs.json").read_text())["held"][:sums]
    turns = [
        [{"role": "user", "content": f"What is {a}+{b}?"}, {"role": "assistant", "content": str(a + b)}]
        for a, b in pairs
    ]
    with tempfile.TemporaryDirectory() as folder:
        chats = Path(folder) / "sums.jsonl"
        chats.write_text("\n".join(map(json.dumps, turns)), encoding="utf-8")
        return {
            "dev": read_text([YARDSTICK / "dev.npy"], checkpoint, 256, tokens),
            "sums": read_text([chats], checkpoint),
        }


def measure(out: Path, tokens: int, sums: int, only: list[str]) -> None:
    """Measures what is not in the file yet."""
    checkpoint = open_checkpoint(YARDSTICK / "checkpoint")
    exact = SourceWeights(checkpoint)
    data = json.loads(out.read_text()) if out.exists() else {"tokens": tokens, "sums": sums, "models": {}, "not": {}}
    read = texts(checkpoint, data["tokens"], data["sums"])
    runs = {name: Pass(checkpoint, text.ids) for name, text in read.items()}

    def through(name: str, weights: Weights) -> Final:
        final = advance(runs[name], weights, None, None, lambda done, total: None, "states")
        return Final(final.reference, final.hidden.copy(), final.head)

    source = {name: through(name, exact) for name in read}
    for title, plan in plans(checkpoint):
        if title in data["models"] or (only and title not in only):
            continue
        if isinstance(plan, str):
            data["not"][title] = plan
            continue
        weights = Watched(PlannedWeights(plan, checkpoint), exact)
        found: dict[str, Any] = {"bytes": plan.tensor_bytes, "bits": plan.bits_per_weight}
        for name, text in read.items():
            models = {"source": source[name].logits, title: through(name, weights).logits}
            scored = scores(runs[name].torch, models, text, [(title, "source")])
            found[name] = alone(scored[title], text) | compared(scored[title], scored["source"], "source", text)
            data.setdefault("source", {})[name] = alone(scored["source"], text)
        data["models"][title] = found | {"rmse": weights.rmse}
        out.write_text(json.dumps(data, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        print(f"{title}: KL {found['dev']['kl']['mean']:.5f}, RMSE {weights.rmse:.4f}", flush=True)


def table(data: dict[str, Any]) -> str:
    """The models from the least KL to the largest, as markdown."""
    lines = [
        "| model | bytes | bits/weight | experts' RMSE | KL | 95 % | p99 KL | ΔNLL | same top token | sums |",
        "|---|---:|---:|---:|---:|---|---:|---:|---:|---:|",
    ]
    for name, row in sorted(data["models"].items(), key=lambda item: item[1]["dev"]["kl"]["mean"]):
        dev, sums = row["dev"], row["sums"]["answers"]
        low, high = dev["kl"]["interval"]
        lines.append(
            f"| {name} | {row['bytes']:,} | {row['bits']:.3f} | {row['rmse']:.4f} | {dev['kl']['mean']:.5f} | "
            f"{low:.5f} to {high:.5f} | {dev['kl']['p99']:.3f} | {dev['delta_nll']:+.4f} | "
            f"{100 * dev['same_top']:.1f} % | {sums['exact']} of {sums['chats']} |"
        )
    return "\n".join(lines)


def page(docs: Path, data: dict[str, Any]) -> None:
    """Writes the tables between the marks of docs/evidence/quality.md, and the plot."""
    lossy = {name: row for name, row in data["models"].items() if row["rmse"] > 0}
    errors = np.array([row["rmse"] for row in lossy.values()])
    rank = spearman(errors, np.array([row["dev"]["kl"]["mean"] for row in lossy.values()]))
    source = data["source"]
    said = (
        f"The source has NLL {source['dev']['nll']:.4f} on the {data['tokens']:,} tokens and answers "
        f"{source['sums']['answers']['exact']} of the {data['sums']} sums. Over the {len(lossy)} models whose "
        f"experts are not exact, the rank correlation (Spearman) of experts' RMSE and KL is {rank:.3f}."
    )
    path = docs / "quality.md"
    before, _, rest = path.read_text(encoding="utf-8").partition("<!-- measured -->\n")
    _, _, after = rest.partition("<!-- /measured -->\n")
    text = f"{before}<!-- measured -->\n{table(data)}\n\n{said}\n<!-- /measured -->\n{after}"
    path.write_text(text, encoding="utf-8")
    draw(docs / "quality.svg", data)


def draw(path: Path, data: dict[str, Any]) -> None:
    """KL against bits per weight; the models are named points."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "quality"
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 5))
    for name, row in data["models"].items():
        kl = row["dev"]["kl"]["mean"]
        if kl > 0:
            axes.plot(row["bits"], kl, "o", color="C1" if name in FITS else "C0", markersize=4)
            axes.annotate(name, (row["bits"], kl), fontsize=7, xytext=(3, 3), textcoords="offset points")
    axes.set_yscale("log")
    axes.set_xlabel("bits per weight, whole bundle of the yardstick")
    axes.set_ylabel("KL to the source, nats per token")
    axes.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description="Every shipped recipe and fit on the yardstick.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--tokens", type=int, default=10240)
    parser.add_argument("--sums", type=int, default=150)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--page", type=Path)
    given = parser.parse_args()
    if given.page is None:
        measure(given.file, given.tokens, given.sums, given.only)
    else:
        page(given.page, json.loads(given.file.read_text()))


if __name__ == "__main__":
    main()
