"""Cost against size: one layer at V4-Flash's real shapes with 16 to 256 experts.

    python -m benchmarks.sizes WORKDIR [--experts 16,32,64,128,256] [--rounds 3] [-o RESULT.json]

Prints, per recipe and number of experts, the median seconds, nanoseconds per weight and peak RSS. WORKDIR needs 15 GB;
each slice is removed after its turn.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

from benchmarks.runs import PROGRAM, machine, median, payload, raw_copy, slice_of, timed
from dsv4recipe import load_recipe, make_plan, open_checkpoint

RECIPES = ("jangtq2", "q4q8")


def whole_model(work: Path) -> dict[str, int]:
    """The weights of all of V4-Flash by recipe, from its headers."""
    source = work / "whole"
    if not source.exists():
        subprocess.run([*PROGRAM, "synth", str(source), "--preset", "full", "--headers-only"], check=True)
    checkpoint = open_checkpoint(source)
    return {recipe: make_plan(load_recipe(recipe), checkpoint).weights for recipe in RECIPES}


def seconds(rows: list[dict[str, Any]], recipe: str, weights: int) -> float:
    """Wall seconds of `weights` weights, on the line through the smallest and the largest slice (so that starting is
    counted once)."""
    mine = [row for row in rows if row["recipe"] == recipe]
    first, last = mine[0], mine[-1]
    slope = (last["wall"] - first["wall"]) / (last["weights"] - first["weights"])
    return float(first["wall"] + slope * (weights - first["weights"]))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("--experts", default="16,32,64,128,256")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("-o", "--output", type=Path)
    asked = parser.parse_args()
    rows = []
    for experts in map(int, asked.experts.split(",")):
        fresh = not (asked.work / f"slice-{experts}").exists()
        source = slice_of(asked.work, experts)
        out = asked.work / "out"
        raw_copy(source, asked.work / "warm", 0)  # everything into the page cache
        for recipe in RECIPES:
            weights = make_plan(load_recipe(recipe), open_checkpoint(source)).weights
            runs = []
            for _ in range(asked.rounds):
                shutil.rmtree(out, ignore_errors=True)
                command = ["build", recipe, "--source", str(source), "-o", str(out), "--workers", "2"]
                runs.append(timed([*PROGRAM, *command]))
            rows.append(
                {"recipe": recipe, "experts": experts, "weights": weights, "bytes": payload(out), **median(runs)}
            )
            row = rows[-1]
            print(
                f"{recipe:8} {experts:4} experts {weights:15,} weights {row['wall']:7.2f} s "
                f"{row['wall'] / weights * 1e9:6.3f} ns per weight {row['rss_mb']:6.0f} MB"
            )
        shutil.rmtree(out)
        (asked.work / "warm").unlink()
        if fresh:
            shutil.rmtree(source)
    whole = whole_model(asked.work)
    for recipe, weights in whole.items():
        minutes = seconds(rows, recipe, weights) / 60
        print(f"{recipe:8} all {weights:,} weights of V4-Flash, extrapolated: {minutes:.1f} min")
    if asked.output:
        asked.output.write_text(
            json.dumps({"machine": machine(), "rounds": asked.rounds, "rows": rows, "whole": whole}, indent=1) + "\n"
        )


if __name__ == "__main__":
    main()
