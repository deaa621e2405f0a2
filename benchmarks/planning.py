"""Time and memory of planning at full size, from a cold process: `python benchmarks/planning.py [RECIPE …]`.

Makes a headers-only V4-Flash (sparse: next to no disk), then runs the real command five times per recipe.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROUNDS = 5


def measure(command: list[str]) -> tuple[float, float]:
    """Wall seconds and peak RSS in MB of a command."""
    begin = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        raise SystemExit(f"failed: {' '.join(command)}")
    scale = 1e6 if sys.platform == "darwin" else 1e3
    return time.perf_counter() - begin, usage.ru_maxrss / scale


def main(recipes: list[str]) -> None:
    program = [sys.executable, "-m", "dsv4recipe"]
    with tempfile.TemporaryDirectory() as folder:
        source = str(Path(folder) / "full")
        subprocess.run([*program, "synth", source, "--preset", "full", "--headers-only"], check=True)
        for recipe in recipes:
            runs = [measure([*program, "plan", recipe, "--source", source]) for _ in range(ROUNDS)]
            wall, memory = statistics.median(run[0] for run in runs), max(run[1] for run in runs)
            print(f"plan {recipe}: median {wall:.2f} s of {ROUNDS}, peak RSS {memory:.0f} MB")
        for light in (["--help"], ["recipes"], ["check", "q4q8"]):
            runs = [measure([*program, *light]) for _ in range(ROUNDS)]
            print(f"{' '.join(light)}: median {statistics.median(run[0] for run in runs):.2f} s")


if __name__ == "__main__":
    main(sys.argv[1:] or ["q4q8", "q4q8-per-expert"])
