"""The same record and plan, in other circumstances: every bundle is compared with the first, to the byte.

python -m tests.calibrated.same_bytes machines | dask | kills [--kills 200] [--seed N]

machines: processes with other threads, BLAS settings and hash seeds, and with machine code for other processors: one
with AVX2, and one without fused multiply-adds, which does each in software. dask: two worker processes. kills: kill -9
at random instants, until so many have hit. Small synthetic checkpoint, made-up inputs.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from dsv4recipe import build, make_plan, open_checkpoint
from dsv4recipe.builder.cluster.engine import DaskEngine
from dsv4recipe.checkpoint.synth import synthesize
from dsv4recipe.plan.canonical import dump_plan
from dsv4recipe.plan.model import Plan
from dsv4recipe.recipe.load import parse_recipe
from dsv4recipe.records.read import load_record
from tests.calibrated.records import record
from tests.cluster.pool import Pool
from tests.faults.kill import kill_until
from tests.faults.world import World, digests
from tests.recipes import changed

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
SETTINGS: dict[str, dict[str, str]] = {
    "one thread": dict.fromkeys(THREADS, "1"),
    "many threads": dict.fromkeys(THREADS, "8") | {"PYTHONHASHSEED": "7", "WORKERS": "2"},
    "another BLAS kernel": {
        "OPENBLAS_CORETYPE": "Prescott",
        "MKL_CBWR": "COMPATIBLE",
        "NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3",
    },
}
PROCESSORS: dict[str, dict[str, str]] = {
    "a processor with AVX2": {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx2,+fma,+bmi,+bmi2"},
    "a processor without fused multiply-add": {"NUMBA_CPU_NAME": "x86-64", "NUMBA_CPU_FEATURES": "+sse2"},
}
FORMATS = (
    "{affine: {bits: 2, group-size: 64, fit: gptq}}",
    "{affine: {bits: 4, group-size: 32, fit: gptq}}",
    "{mxtq: {bits: 2, fit: gptq}}",
)


def planned(source: Path, kept: Path, fmt: str, shard_size: str = "5GiB") -> Plan:
    """Routed experts in the format `fmt`, without the stages, which no record holds."""
    text = changed("{affine: {bits: 4, group-size: 32}}", fmt).replace("mtp: keep", "mtp: drop")
    recipe = parse_recipe(text.replace("5GiB", shard_size), "recipe.yaml")
    return make_plan(recipe, open_checkpoint(source), importance=load_record(kept))


def made(folder: Path) -> tuple[Path, Path]:
    """A checkpoint and a record of it."""
    synthesize(folder / "source", layers=2)
    return folder / "source", record(open_checkpoint(folder / "source"), folder / "kept")


def built(source: Path, kept: Path, out: Path, workers: int) -> dict[str, str]:
    """Digests of a bundle of each format."""
    found = {}
    for number, fmt in enumerate(FORMATS):
        bundle = build(planned(source, kept, fmt), source, out / str(number), workers=workers, importance=kept)
        found |= {f"{number}/{name}": digest for name, digest in digests(bundle).items()}
    return found


def elsewhere(source: Path, kept: Path, out: Path, environment: dict[str, str]) -> dict[str, str]:
    """The same from a process of its own with other variables."""
    here = {"NUMBA_CACHE_DIR": str(out / "cache")} if "NUMBA_CPU_NAME" in environment else {}
    command = [sys.executable, "-m", "tests.calibrated.same_bytes", "here", str(source), str(kept), str(out / "built")]
    out.mkdir()
    given = {**os.environ, **environment, **here}
    result = subprocess.run(command, env=given, check=True, capture_output=True, text=True)
    found: dict[str, str] = json.loads(result.stdout)
    return found


def machines(folder: Path) -> str:
    source, kept = made(folder)
    first = built(source, kept, folder / "first", 1)
    for number, (name, environment) in enumerate((SETTINGS | PROCESSORS).items()):
        found = elsewhere(source, kept, folder / str(number), environment)
        wrong = sorted(each for each in {*first, *found} if first.get(each) != found.get(each))
        if wrong:
            raise AssertionError(f"{name}: other bytes in {wrong}")
        print(f"{name}: same bytes", flush=True)
    return f"{len(SETTINGS | PROCESSORS)} processes, {len(first)} files each: every byte the same"


def dask(folder: Path) -> str:
    source, kept = made(folder)
    for number, fmt in enumerate(FORMATS):
        plan = planned(source, kept, fmt, "1MB")
        ours = build(plan, source, folder / f"here {number}", workers=1, importance=kept)
        with tempfile.TemporaryDirectory(dir=folder) as name, Pool(Path(name)) as pool:
            pool.add(2)
            out = folder / f"dask {number}"
            build(plan, source, out, workers=1, importance=kept, engine=DaskEngine(pool.address, lambda event: None))
        if digests(out) != digests(ours):
            raise AssertionError(f"{fmt}: the cluster wrote other bytes")
    return f"{len(FORMATS)} formats on two worker processes: every byte the same"


def kills(folder: Path, count: int, seed: int) -> str:
    source, kept = made(folder)
    plan, guide = planned(source, kept, FORMATS[0], "1KB"), load_record(kept)
    whole = build(plan, source, folder / "whole", workers=1, importance=guide)
    world = World(plan, open_checkpoint(source), dump_plan(plan), whole, digests(whole), guide)
    counts = kill_until(world, folder, count, seed)
    return (
        f"{counts['kills']} kills ({counts['by_clock']} by the clock, {counts['by_call']} at a call), "
        f"{counts['builds']} builds of {len(plan.shards)} shards finished, seed {seed}: every byte as undisturbed, at "
        f"most {counts['most_lost']} shards lost by a kill"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("machines", "dask", "kills", "here"))
    parser.add_argument("places", nargs="*", type=Path)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.what == "here":
        print(json.dumps(built(*options.places, int(os.environ.get("WORKERS", "1")))))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.what == "kills":
            print(kills(folder, options.kills, options.seed))
        else:
            print({"machines": machines, "dask": dask}[options.what](folder))


if __name__ == "__main__":
    main()
