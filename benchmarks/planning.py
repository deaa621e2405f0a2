"""Time and memory of planning at full size, from a cold process.

`python benchmarks/planning.py [--release R] [RECIPE …]` makes a headers-only checkpoint (sparse: next to no disk) of
V4-Flash or of release R, then runs the real command five times per recipe: those named, or all that ALL has for R.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROUNDS = 5
ALL = {
    "v4-flash": ["q4q8", "q4q8-per-expert", "native", "q3-mixed", "jangtq2", "jangtq2-per-expert", "jangtq2-k",
                 "jangtq-hash4", "universal"],
    "v4-flash-0731": ["q4q8", "native", "native-dspark", "q3-mixed", "jangtq2", "universal"],
    "v4-pro": ["q4q8", "q4q8-per-expert", "native", "q3-mixed", "jangtq2", "universal"],
    "v4.1-flash": ["native", "q3-mixed-v41"],
}  # fmt: skip


def measure(command: list[str]) -> tuple[float, float]:
    """Wall seconds and peak RSS in MB of a command."""
    begin = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        raise SystemExit(f"failed: {' '.join(command)}")
    scale = 1e6 if sys.platform == "darwin" else 1e3
    return time.perf_counter() - begin, usage.ru_maxrss / scale


def main(release: str, recipes: list[str]) -> None:
    program = [sys.executable, "-m", "dsv4recipe"]
    with tempfile.TemporaryDirectory() as folder:
        source = str(Path(folder) / "full")
        subprocess.run(
            [*program, "synth", source, "--release", release, "--preset", "full", "--headers-only"], check=True
        )
        report("inspect", [*program, "inspect", source])
        for recipe in recipes or ALL[release]:
            report(f"plan {recipe}", [*program, "plan", recipe, "--source", source])
        for light in (["--help"], ["recipes"], ["check", "q4q8"]):
            report(" ".join(light), [*program, *light])


def report(name: str, command: list[str]) -> None:
    runs = [measure(command) for _ in range(ROUNDS)]
    wall, memory = statistics.median(run[0] for run in runs), max(run[1] for run in runs)
    print(f"{name}: median {wall:.2f} s of {ROUNDS}, peak RSS {memory:.0f} MB")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--release", default="v4-flash", choices=ALL)
    parser.add_argument("recipes", nargs="*")
    given = parser.parse_args()
    main(given.release, given.recipes)
