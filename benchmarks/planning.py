"""Time and memory of planning at full size, from a cold process.

    python -m benchmarks.planning [--release R] [RECIPE …]

Makes a headers-only checkpoint (sparse: next to no disk) of V4-Flash or of release R, then runs the real command five
times per recipe: those named, or all shipped ones that apply.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import tempfile
from pathlib import Path

from benchmarks.runs import PROGRAM, timed
from dsv4recipe.checkpoint.releases import RELEASES
from dsv4recipe.recipe.shipped import shipped_recipes

ROUNDS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--release", default="v4-flash", choices=RELEASES)
    parser.add_argument("recipes", nargs="*")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source = str(Path(folder) / "full")
        size = ["--release", asked.release, "--preset", "full", "--headers-only"]
        subprocess.run([*PROGRAM, "synth", source, *size], check=True)
        report("inspect", [*PROGRAM, "inspect", source])
        for recipe in asked.recipes or applying(source):
            report(f"plan {recipe}", [*PROGRAM, "plan", recipe, "--source", source])
        for light in (["--help"], ["recipes"], ["check", "q4q8"]):
            report(" ".join(light), [*PROGRAM, *light])


def applying(source: str) -> list[str]:
    """The shipped recipes that have a plan for this checkpoint; prints why the others have none. In processes of their
    own: Linux counts what this one holds as the peak of its children."""
    found = []
    for recipe in shipped_recipes():
        tried = subprocess.run(
            [*PROGRAM, "plan", recipe, "--source", source], capture_output=True, text=True, check=False
        )
        if tried.returncode == 0:
            found.append(recipe)
        else:
            print(f"{recipe} does not apply: {tried.stderr.splitlines()[0]}")
    return found


def report(name: str, command: list[str]) -> None:
    runs = [timed(command) for _ in range(ROUNDS)]
    wall, memory = statistics.median(run["wall"] for run in runs), max(run["rss_mb"] for run in runs)
    print(f"{name}: median {wall:.2f} s of {ROUNDS}, peak RSS {memory:.0f} MB")


if __name__ == "__main__":
    main()
