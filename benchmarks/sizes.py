"""Cost against size: one layer at V4-Flash's real shapes with 16 to 256 experts.

    python -m benchmarks.sizes WORKDIR [--experts 16,32,64,128,256] [--rounds 3] [-o RESULT.json]

Prints, per build and number of experts, the median seconds and peak RSS. WORKDIR needs 15 GB;
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

BUILDS = (("jangtq2", 1), ("jangtq2", 2), ("q4q8", 2))  # recipe, workers
Row = dict[str, Any]


def whole_model(work: Path) -> dict[str, int]:
    """The weights of all of V4-Flash by recipe, from its headers."""
    source = work / "whole"
    if not source.exists():
        subprocess.run([*PROGRAM, "synth", str(source), "--preset", "full", "--headers-only"], check=True)
    checkpoint = open_checkpoint(source)
    return {recipe: make_plan(load_recipe(recipe), checkpoint).weights for recipe in dict(BUILDS)}


def slope(rows: list[Row], recipe: str, workers: int = 2) -> float:
    """Seconds per weight between the smallest and the largest slice, so without what every build costs once."""
    first, *_, last = [row for row in rows if (row["recipe"], row["workers"]) == (recipe, workers)]
    return float((last["wall"] - first["wall"]) / (last["weights"] - first["weights"]))


def seconds(rows: list[Row], recipe: str, weights: int) -> float:
    """Wall seconds of `weights` weights with two workers, on the line through the smallest and the largest slice."""
    first = next(row for row in rows if (row["recipe"], row["workers"]) == (recipe, 2))
    return float(first["wall"] + slope(rows, recipe) * (weights - first["weights"]))


def scaling(rows: list[Row]) -> float:
    """By how much two workers are faster than one for MXTQ, per weight."""
    return slope(rows, "jangtq2", 1) / slope(rows, "jangtq2", 2)


def whole_layer(rows: list[Row]) -> float:
    """By how much two workers are faster than one for MXTQ on the largest slice, the start included."""
    one, two = ([row for row in rows if (row["recipe"], row["workers"]) == ("jangtq2", n)][-1] for n in (1, 2))
    return float(one["wall"] / two["wall"])


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
        checkpoint = open_checkpoint(source)
        for recipe, workers in BUILDS:
            weights = make_plan(load_recipe(recipe), checkpoint).weights
            command = ["build", recipe, "--source", str(source), "-o", str(out), "--workers", str(workers)]
            runs = []
            for _ in range(asked.rounds):
                shutil.rmtree(out, ignore_errors=True)
                runs.append(timed([*PROGRAM, *command]))
            row = {"recipe": recipe, "workers": workers, "experts": experts, "weights": weights, "bytes": payload(out)}
            rows.append(row | median(runs))
            print("{recipe:8} {workers} workers {experts:4} experts {weights:15,} weights {wall:7.2f} s "
                  "{rss_mb:6.0f} MB".format(**rows[-1]))  # fmt: skip
        shutil.rmtree(out)
        (asked.work / "warm").unlink()
        if fresh:
            shutil.rmtree(source)
    whole = whole_model(asked.work)
    for recipe, weights in whole.items():
        minutes = seconds(rows, recipe, weights) / 60
        print(f"{recipe:8} all {weights:,} weights of V4-Flash, extrapolated: {minutes:.1f} min")
    print(f"two workers against one for MXTQ, per weight: {scaling(rows):.2f} ×")
    if asked.output:
        asked.output.write_text(
            json.dumps({"machine": machine(), "rounds": asked.rounds, "rows": rows, "whole": whole}, indent=1) + "\n"
        )


if __name__ == "__main__":
    main()
