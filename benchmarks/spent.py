"""Where a build's time goes: py-spy's samples of its threads, by what they were doing.

    python -m benchmarks.spent WORKDIR [--experts 64] [-o RESULT.json]

Prints, per recipe, the seconds of busy threads (two of them, so up to twice the wall time) at each stage; threads that
wait are not counted.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
from collections import Counter
from pathlib import Path

from benchmarks.runs import PROGRAM, machine, slice_of

RATE = 200
RECIPES = ("jangtq2", "q4q8", "native")
HASHING, HASHES = "sha256 and CRC-32", ("ReadBack._read", "ReadBack.check", "span (")  # in the innermost function
STAGES = (  # the first that is anywhere in the stack
    ("reading the bundle back", ("readback.py",)),
    ("reading the source", ("sources.py",)),
    ("decoding, encoding, packing", ("formats/", "encode_piece")),
    ("flushing", ("sync_file", "forget_pages")),
    ("writing", ("OpenShard._write", "disk.py")),
)
START, OTHER = "starting and planning", "everything else"


def stage(stack: str) -> str | None:
    """The stage of a sampled stack; None for the threads that only look after the others."""
    thread, *frames = stack.split(";")
    if "encode" not in thread:
        return None if "lease" in thread or any("run_shards" in frame for frame in frames) else START
    inner = [frame for frame in frames if "dsv4recipe/" in frame]
    if inner and any(place in inner[-1] for place in HASHES):
        return HASHING
    return next((name for name, places in STAGES if any(p in frame for p in places for frame in inner)), OTHER)


def spent(recipe: str, source: Path, work: Path) -> dict[str, float]:
    """Seconds of busy threads by stage, most first."""
    out, samples = work / "out", work / "samples.txt"
    shutil.rmtree(out, ignore_errors=True)
    watch = ["py-spy", "record", "--rate", str(RATE), "--threads", "--format", "raw", "--output", str(samples), "--"]
    build = [*PROGRAM, "build", recipe, "--source", str(source), "-o", str(out), "--workers", "2"]
    subprocess.run([*watch, *build], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    shutil.rmtree(out)
    counts: Counter[str] = Counter()
    for line in samples.read_text().splitlines():
        stack, _, number = line.rpartition(" ")
        if name := stage(stack):
            counts[name] += int(number)
    return {name: number / RATE for name, number in counts.most_common()}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("--experts", type=int, default=64)
    parser.add_argument("-o", "--output", type=Path)
    asked = parser.parse_args()
    source = slice_of(asked.work, asked.experts)
    recipes = {recipe: spent(recipe, source, asked.work) for recipe in RECIPES}
    for recipe, stages in recipes.items():
        print(f"{recipe}: " + ", ".join(f"{name} {seconds:.2f} s" for name, seconds in stages.items()))
    if asked.output:
        found = {"machine": machine(), "experts": asked.experts, "recipes": recipes}
        asked.output.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
