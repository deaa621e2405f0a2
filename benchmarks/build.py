"""Our builds against a raw copy, against the peer's converter and against mlx, in turn, in one run.

    python -m benchmarks.build WORKDIR [--experts 64] [--recipes R,…] [--rounds 3] [--peer-python PY] [-o F]

WORKDIR gets a synthetic slice at V4-Flash's real shapes (1 layer, 64 experts: 1.3 GB) and needs about five times its
size. Each recipe is built once with nothing compiled yet; then each round runs, one after another, our builds and a raw
copy of as many bytes in and out with fsync; and the first rounds also what takes minutes: mlx's own dequantize and
quantize of the experts, and with --peer-python (an interpreter with jang, mlx-lm and torch) the jang converter on that
source. Everything reads from the page cache alike. Prints medians and ratios.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
from pathlib import Path
from typing import Any

from benchmarks.runs import CHUNK, PROGRAM, Run, machine, median, payload, raw_copy, slice_of, timed

PEER = ["-m", "jang_tools.dsv4.convert_dsv4_jangtq"]
RECIPES = {"jangtq2": "jangtq", "q4q8": "jang", "native": ""}
"""Recipe → the peer's format to hold it against."""
GOALS = (
    ("jangtq2 against the jang converter's", "jang converter, jangtq 2", "jangtq2, 2 workers", 20.0, "at least"),
    ("q4q8 against the jang converter's affine", "jang converter, jang 2", "q4q8, 2 workers", 10.0, "at least"),
    ("q4q8 against a raw copy", "q4q8, 2 workers", "raw copy for q4q8", 1.6, "at most"),
    ("native against a raw copy", "native, 2 workers", "raw copy for native", 1.3, "at most"),
    ("jangtq2, one worker against two", "jangtq2, 1 worker", "jangtq2, 2 workers", 1.8, "at least"),
    ("q4q8 against mlx's quantize of the experts alone", "mlx quantize, 4 bits", "q4q8, 2 workers", 1.0, "at least"),
)


def hash_once(path: Path) -> None:
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as stream:
        while chunk := stream.read(CHUNK):
            digest.update(chunk)


def self_call(what: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "benchmarks.build", "--internal", what, *arguments]


def build_once(work: Path, source: Path, recipe: str, workers: int) -> Run:
    """A build into `work`/out. Each recipe has a compiler's cache of its own there: its first build compiles."""
    shutil.rmtree(work / "out", ignore_errors=True)
    command = ["build", recipe, "--source", str(source), "-o", str(work / "out"), "--workers", str(workers)]
    return timed([*PROGRAM, *command], NUMBA_CACHE_DIR=str(work / "compiled" / recipe))


def one_round(
    work: Path,
    source: Path,
    recipes: list[str],
    peer: str,
    slow: bool,
    runs: dict[str, list[Run]],
    sizes: dict[str, int],
) -> None:
    """Every command once; its figures are added to `runs`."""
    out, copy = work / "out", work / "copy.bin"

    def add(name: str, run: Run) -> None:
        runs.setdefault(name, []).append(run)
        sizes[name] = payload(out)

    for recipe in recipes:
        for workers in (1, 2):
            add(f"{recipe}, {workers} worker{'s' if workers > 1 else ''}", build_once(work, source, recipe, workers))
        add(f"raw copy for {recipe}", timed(self_call("copy", str(source), str(copy), str(payload(out)))))
        add(f"sha256 for {recipe}", timed(self_call("hash", str(copy))))
        if recipe == "native" and slow:  # `out` still holds it
            requantize = [sys.executable, "-m", "benchmarks.mlx_requantize", str(out), str(copy)]
            add("mlx quantize, 4 bits", timed(requantize))
        copy.unlink()
    for kind in (RECIPES[recipe] for recipe in recipes if RECIPES[recipe] and peer and slow):
        shutil.rmtree(out, ignore_errors=True)
        arguments = ["--src", str(source), "--dst", str(out), "--profile", "2", "--format", kind, "--variant", "std"]
        add(f"jang converter, {kind} 2", timed([peer, *PEER, *arguments]))
    shutil.rmtree(out, ignore_errors=True)


def ratios(medians: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"what": what, "ratio": medians[over]["wall"] / medians[under]["wall"], "goal": goal, "sense": sense}
        for what, over, under, goal, sense in GOALS
        if over in medians and under in medians
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("--experts", type=int, default=64)
    parser.add_argument("--recipes", default=",".join(RECIPES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peer-python", default="")
    parser.add_argument("--slow-rounds", type=int, default=1, help="rounds of what takes minutes: mlx and the peer")
    parser.add_argument("-o", "--output", type=Path)
    asked = parser.parse_args()
    source = slice_of(asked.work, asked.experts)
    runs: dict[str, list[Run]] = {}
    sizes: dict[str, int] = {}
    shutil.rmtree(asked.work / "compiled", ignore_errors=True)
    recipes = asked.recipes.split(",")
    for recipe in recipes:
        name = f"{recipe}, 2 workers, compiling"
        runs[name], sizes[name] = [build_once(asked.work, source, recipe, 2)], payload(asked.work / "out")
    for number in range(asked.rounds):
        one_round(asked.work, source, recipes, asked.peer_python, number < asked.slow_rounds, runs, sizes)
        print(f"round {number + 1} of {asked.rounds} done", file=sys.stderr)
    medians = {name: median(found) | {"bytes": sizes[name], "rounds": len(found)} for name, found in runs.items()}
    for name, row in medians.items():
        print(f"{name:26} {row['wall']:8.2f} s {row['cpu']:8.2f} CPU s {row['rss_mb']:7.0f} MB {row['bytes']:14,} B")
    found = ratios(medians)
    for row in found:
        print(f"{row['what']:52} {row['ratio']:7.2f} ×   goal: {row['sense']} {row['goal']} ×")
    if asked.output:
        result = {"machine": machine(), "source_bytes": payload(source), "experts": asked.experts}
        result |= {"rounds": asked.rounds, "medians": medians, "ratios": found, "runs": runs}
        asked.output.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--internal"]:
        what, *rest = sys.argv[2:]
        raw_copy(Path(rest[0]), Path(rest[1]), int(rest[2])) if what == "copy" else hash_once(Path(rest[0]))
    else:
        main()
