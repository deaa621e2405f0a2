"""The contract of full-size bundles, from headers alone: time from a cold process, and what was read.

    python benchmarks/contract.py WORKDIR

WORKDIR gets V4-Flash by headers, and a bundle of every recipe with all its headers, its side files and holes for data;
both take no disk. Each bundle is then proven by `dsv4recipe verify --json` without its manifest, as a downloaded one.
On Linux the bytes that the process read in all are beside the bytes of the headers: weights are not among them.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from dsv4recipe import load_recipe, make_plan, open_checkpoint
from dsv4recipe.builder.side import side_files
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.checkpoint.header import read_header
from dsv4recipe.checkpoint.synth import synthesize
from dsv4recipe.plan.shards import shard_header, shard_modules
from dsv4recipe.recipe.shipped import shipped_recipes


def hollow(recipe: str, checkpoint: Checkpoint, out: Path) -> Path:
    """Headers, holes and side files of a recipe's bundle, as a download: no plan, no manifest."""
    plan = make_plan(load_recipe(recipe), checkpoint)
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    for shard in plan.shards:
        with (out / shard.file).open("wb") as stream:
            stream.write(shard_header(shard_modules(shard, plan.by_disk)))
            stream.truncate(shard.file_bytes)
    for name, content in side_files(plan, checkpoint).items():
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).write_bytes(content)
    for path in out.glob("dsv4recipe.*"):
        path.unlink()
    return out


def fill_tq_bits(bundle: Path) -> None:
    """The one number that the contract reads beside a header: the width of an MXTQ tensor, which is no hole."""
    from dsv4recipe.bundle.view import open_bundle

    view = open_bundle(bundle)[0]
    for stem, parts in view.tensors.items():
        packed, bits = parts.get(".tq_packed"), parts.get(".tq_bits")
        if packed is None or bits is None:
            continue
        width = 4096 if "gate" in stem or "up" in stem or stem.endswith(("w1", "w3")) else 2048
        with (bundle / view.shard_of[stem + ".tq_bits"]).open("r+b") as stream:
            stream.seek(bits.start)
            stream.write((packed.shape[-1] * 32 // width).to_bytes(bits.nbytes, "little"))


def proven(bundle: Path) -> tuple[float, int, dict[str, object]]:
    """Wall seconds, bytes read through system calls (0 where the system does not tell), the document."""
    command = [sys.executable, __file__, "--internal", str(bundle)]
    begin = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    said, told = child.communicate()
    return time.perf_counter() - begin, int(told.splitlines()[-1]), json.loads(said)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("work", type=Path)
    work = parser.parse_args().work
    if not (work / "full").exists():
        synthesize(work / "full", preset="full", headers_only=True)
    checkpoint = open_checkpoint(work / "full")
    for recipe in shipped_recipes():
        bundle = hollow(recipe, checkpoint, work / recipe)
        fill_tq_bits(bundle)
        headers = sum(read_header(path).data_start for path in bundle.glob("*.safetensors"))
        wall, read, document = proven(bundle)
        contract = document["steps"][1]  # type: ignore[index]
        verdict = "ok" if contract["ok"] and not contract["findings"] else f"{len(contract['findings'])} findings"
        print(
            f"{recipe:20} {contract['facts'][0].split(' over')[0]:34} {wall:5.2f} s  headers {headers / 1e6:5.1f} MB, "
            f"read in all {read / 1e6:5.1f} MB  {verdict}",
            flush=True,
        )
        shutil.rmtree(bundle)


def internal(bundle: str) -> None:
    from dsv4recipe.cli.main import run

    files = Path("/proc/self/io")

    def count() -> int:
        return int(files.read_text().split()[1]) if files.exists() else 0

    from dsv4recipe.verifier import run as steps  # noqa: F401 - loading the program is time, but not reading the bundle

    before = count()
    run(["verify", bundle, "--json"])
    sys.stdout.flush()
    print(count() - before, file=sys.stderr)
    os._exit(0)


if __name__ == "__main__":
    internal(sys.argv[2]) if sys.argv[1:2] == ["--internal"] else main()
