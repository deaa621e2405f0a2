"""The numbers step against reading source and bundle once, on a slice at V4-Flash's real shapes.

    python benchmarks/numbers_step.py WORKDIR [--experts 64] [--recipes q4q8,jangtq2,native] [--cold] [--repeat 3]
                                      [-o RESULT.json]

WORKDIR gets a synthetic slice and its bundles, and keeps them. Per recipe, in a process of its own each: every byte of
source and bundle read once, then `verify`'s numbers step over every tensor; wall, CPU and peak RSS. Everything is in
the page cache, or with --cold (Linux) dropped from it before each run: a full-size model is larger than memory, and its
numbers wait for the disk. --repeat: reading and numbers by turns, medians of both; a virtual disk's speed moves.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

CHUNK = 16 << 20
PROGRAM = [sys.executable, "-m", "dsv4recipe"]


def shards(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.safetensors"))


def read_once(folders: list[Path]) -> None:
    block = bytearray(CHUNK)
    for path in (path for folder in folders for path in shards(folder)):
        with path.open("rb", buffering=0) as stream:
            while stream.readinto(block):
                pass


def numbers(source: Path, bundle: Path) -> None:
    from dsv4recipe import open_checkpoint
    from dsv4recipe.bundle.open import open_bundle
    from dsv4recipe.bundle.read import read_bundle
    from dsv4recipe.verifier.numbers.check import check_numbers

    found = check_numbers(open_bundle(bundle)[0], read_bundle(bundle), open_checkpoint(source))
    if not found.step.ok:
        raise SystemExit(found.step.findings[0].render())


def drop_cache(folders: list[Path]) -> None:
    for path in (path for folder in folders for path in shards(folder)):
        handle = os.open(path, os.O_RDONLY)
        os.fsync(handle)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(handle)


def timed(what: str, source: Path, bundle: Path, cold: bool) -> dict[str, float]:
    """Wall and CPU seconds and peak RSS in MB of one part in a process of its own; its own start is not in the wall."""
    if cold:
        drop_cache([source, bundle])
    command = [sys.executable, __file__, "--internal", what, str(source), str(bundle)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    said = child.stdout.read() if child.stdout else ""
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        raise SystemExit(f"failed: {' '.join(command)}")
    rss = usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
    return {"wall": float(said), "cpu": usage.ru_utime + usage.ru_stime, "rss_mb": rss}


def prepare(work: Path, experts: int, recipes: list[str]) -> Path:
    source = work / f"slice-{experts}"
    work.mkdir(parents=True, exist_ok=True)
    if not source.exists():
        subprocess.run([*PROGRAM, "synth", str(source), "--preset", "slice", "--experts", str(experts)], check=True)
    for recipe in recipes:
        if not (work / f"{recipe}-{experts}").exists():
            command = ["build", recipe, "--source", str(source), "-o", str(work / f"{recipe}-{experts}")]
            subprocess.run([*PROGRAM, *command], check=True)
    return source


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("--experts", type=int, default=64)
    parser.add_argument("--recipes", default="q4q8,jangtq2,native")
    parser.add_argument("--cold", action="store_true")
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--prepare", action="store_true", help="make source and bundles, and stop")
    parser.add_argument("-o", "--output", type=Path)
    asked = parser.parse_args()
    recipes = asked.recipes.split(",")
    source = prepare(asked.work, asked.experts, recipes)
    if asked.prepare:
        return
    result: dict[str, Any] = {}
    for recipe in recipes:
        bundle = asked.work / f"{recipe}-{asked.experts}"
        size = sum(path.stat().st_size for folder in (source, bundle) for path in shards(folder))
        runs = [[timed(what, source, bundle, asked.cold) for what in ("read", "numbers")] for _ in range(asked.repeat)]
        read, proof = (
            {key: statistics.median(run[key] for run in part) for key in part[0]} for part in zip(*runs, strict=True)
        )
        ratio = proof["wall"] / read["wall"]
        result[recipe] = {"bytes": size, "read": read, "numbers": proof, "ratio": ratio}
        print(
            f"{recipe:10} {size / 1e9:.3f} GB  read once {read['wall']:6.2f} s  numbers {proof['wall']:6.2f} s "
            f"({proof['cpu']:.1f} CPU s, {proof['rss_mb']:.0f} MB)  ratio {ratio:.2f}"
        )
    if asked.output:
        asked.output.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--internal"]:
        what, *folders = sys.argv[2:]
        source, bundle = map(Path, folders)
        import dsv4recipe.verifier.numbers.check  # noqa: F401 - loading the program is no part of the step

        begin = time.perf_counter()
        read_once([source, bundle]) if what == "read" else numbers(source, bundle)
        print(time.perf_counter() - begin)
    else:
        main()
