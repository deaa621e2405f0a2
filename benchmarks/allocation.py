"""Figures, recipes, tables and plot of `allocate` at full size: `python benchmarks/allocation.py --help`.

Makes a headers-only V4-Flash (sparse: next to no disk). Without an option it prints for several budgets how long the
solver takes, how much of the budget is used and how far the objective is from the bound. `--recipes` writes the shipped
recipes that allocate made again; `--tables` prints the tables of docs/how-to/allocation.md; `--plot FILE` draws
budget against error (needs matplotlib).
"""

from __future__ import annotations

import argparse
import re
import shlex
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from dsv4recipe import load_recipe, make_plan, open_checkpoint
from dsv4recipe.allocation.machine import room
from dsv4recipe.allocation.outcome import by_role, curve
from dsv4recipe.allocation.problem import Problem
from dsv4recipe.allocation.run import Wishes, prepare
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.checkpoint.synth import synthesize
from dsv4recipe.cli.main import run

ROUNDS = 5
BASES = {"q3-mixed": (90, 110, 135.346422876), "native": (100, 130, 150), "jangtq2": (80, 100, 130, 150)}
MACHINES = (96, 128, 192)
RECIPES = Path(__file__).parent.parent / "recipes"
SCHEMA = "../schemas/recipe.schema.json"
SHIPPED = {
    "q3-mixed-fit": "q3-mixed --budget 135346422876B",
    "q4q8-fit": "q4q8 --budget 185739533896B --formats affine",
    "fits-96gb": "jangtq2-k --fits 96GB-mac",
    "fits-128gb": "native --fits 128GB-mac",
    "fits-192gb": "native --fits 192GB-mac",
    "fits-256gb": "native --fits 256GB-mac --context 1048576",
    "fits-512gb": "q4q8 --fits 512GB-mac --context 1048576",
}


def problem(base: str, checkpoint: Checkpoint, kinds: tuple[str, ...] = ()) -> Problem:
    return prepare(load_recipe(base), checkpoint, Wishes(kinds, errors="synthetic"))


def figures(checkpoint: Checkpoint) -> None:
    for base, budgets in BASES.items():
        found = problem(base, checkpoint)
        low, high = found.limits
        print(f"{base}: {len(found.items)} items, {low:,} to {high:,} B")
        for budget in budgets:
            size = round(budget * 1e9)
            times = []
            for _ in range(ROUNDS):
                begin = time.perf_counter()
                spent = found.spend(size)
                times.append(time.perf_counter() - begin)
            left = f"{size - spent.bytes:,} B ({100 * (1 - spent.bytes / size):.4f} %) left"
            gap = f"error {spent.error:.5g}, {100 * spent.gap:.3f} % above the bound"
            print(f"  {size:>15,} B: {1000 * statistics.median(times):.0f} ms, {left}, {gap}")


def recipes(root: Path) -> None:
    for name, words in SHIPPED.items():
        out = RECIPES / f"{name}.yaml"
        out.unlink(missing_ok=True)
        common = ["--source", str(root), "--errors", "synthetic", "--schema", SCHEMA, "-o", str(out)]
        if run(["allocate", *shlex.split(words), *common]):
            raise SystemExit(f"failed: {name}")


def tables(checkpoint: Checkpoint) -> None:
    """What the shipped recipes hold against the recipes they were made from, and q3-mixed-fit role by role."""
    for name, words in SHIPPED.items():
        base, *more = words.split()
        found = problem(base, checkpoint, ("affine",) if "affine" in more else ())
        plan = make_plan(load_recipe(name), checkpoint)
        spent = found.spend(plan.tensor_bytes)
        before, now = found.error_of(found.base), found.error_of(plan)
        print(
            f"| `{name}` | `{base}` | {plan.tensor_bytes:,} | {before:.4g} | {now:.4g} | {now / spent.bound - 1:.2%} |"
            if spent.bound > 1e-9
            else f"| `{name}` | `{base}` | {plan.tensor_bytes:,} | {before:.4g} | {now:.1g} | 0 |"
        )
    found = problem("q3-mixed", checkpoint)
    formats = {module.sources: module.format for module in make_plan(load_recipe("q3-mixed-fit"), checkpoint).modules}
    spent = replace(found.spend(found.base.tensor_bytes), formats=formats)
    for row in by_role(found, spent):
        sides = (row.before, row.after)
        sizes = " | ".join(f"{side.bytes / 1e9:.3f}" for side in sides)
        bits = " | ".join(f"{side.bytes * 8 / row.weights:.3f}" for side in sides)
        errors = " | ".join(f"{side.error:.3g}" for side in sides)
        print(f"| {row.role} | {sizes} | {bits} | {errors} | {' | '.join(f'{side.weighted:.3g}' for side in sides)} |")


def plot(checkpoint: Checkpoint, file: Path) -> None:
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "dsv4recipe"
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 4.5))
    for base, label in (("native", "mlx-vlm: affine, mxfp4, mxfp8"), ("jangtq2-k", "vmlx: also MXTQ")):
        found = problem(base, checkpoint)
        points = curve(found, 60)[:-1]
        axes.plot([p.bytes / 1e9 for p in points], [p.error for p in points], label=label)
    q3 = problem("q3-mixed", checkpoint)
    axes.plot(q3.base.tensor_bytes / 1e9, q3.error_of(q3.base), "o", color="black")
    axes.annotate("q3-mixed", (q3.base.tensor_bytes / 1e9, q3.error_of(q3.base)), (6, 4), textcoords="offset points")
    for memory in MACHINES:
        size = room(f"{memory}GB-mac", checkpoint, 32768).bytes / 1e9
        axes.axvline(size, color="grey", linewidth=0.8, linestyle=":")
        axes.annotate(f"{memory} GB Mac", (size, 11.5), (3, 0), textcoords="offset points", color="grey", fontsize=8)
    axes.set(xlabel="tensor bytes, GB", ylabel="weighted relative squared error", ylim=(0, None))
    axes.set_title("DeepSeek-V4-Flash: error of the best choice of formats (synthetic weights)", fontsize=10)
    axes.legend(frameon=False)
    figure.savefig(file, format="svg", metadata={"Date": None})
    text = file.read_text(encoding="utf-8")
    file.write_text(re.sub(r"[ \t]+$", "", text, flags=re.MULTILINE), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipes", action="store_true")
    parser.add_argument("--tables", action="store_true")
    parser.add_argument("--plot", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "full"
        synthesize(root, preset="full", headers_only=True)
        checkpoint = open_checkpoint(root)
        if asked.recipes:
            recipes(root)
        elif asked.tables:
            tables(checkpoint)
        elif asked.plot:
            plot(checkpoint, asked.plot)
        else:
            figures(checkpoint)


if __name__ == "__main__":
    main()
