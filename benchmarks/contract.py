"""The contract of full-size bundles, from headers alone: time from a cold process, and what was read.

    python benchmarks/contract.py WORKDIR

WORKDIR gets every release by headers, and a bundle or GGUF file of every recipe as `build --headers-only` makes it,
with holes for data; both take no disk. Each is then proven by `dsv4recipe verify --json`, as a downloaded one: no
manifest. On Linux the bytes that the process read in all are beside the bytes of the headers: weights are not among
them.
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
from dsv4recipe.builder.hollow import build_headers
from dsv4recipe.bundle.open import open_bundle
from dsv4recipe.checkpoint.releases import RELEASES
from dsv4recipe.checkpoint.synth import synthesize
from dsv4recipe.plan.containers import container_of
from dsv4recipe.plan.weighed import uses_importance
from dsv4recipe.recipe.shipped import shipped_recipes


def fill_tq_bits(bundle: Path) -> None:
    """The one number that the contract reads beside a header: the width of an MXTQ tensor, which is no hole."""
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
    releases = {release.model: name for name, release in RELEASES.items()}
    for name in shipped_recipes():
        recipe = load_recipe(name)
        if uses_importance(recipe):
            continue  # the same headers as what it extends
        release = releases[recipe.source.model]
        if not (work / release).exists():
            synthesize(work / release, release, preset="full", headers_only=True)
        checkpoint = open_checkpoint(work / release)
        plan = make_plan(recipe, checkpoint)
        bundle = work / (f"{name}.gguf" if container_of(plan).one_file else name)
        shutil.rmtree(bundle) if bundle.is_dir() else bundle.unlink(missing_ok=True)
        build_headers(plan, checkpoint, bundle)
        if bundle.is_dir():
            fill_tq_bits(bundle)
        headers = sum(header.data_start for header in open_bundle(bundle)[0].shards)
        wall, read, document = proven(bundle)
        contract = document["steps"][1]  # type: ignore[index]
        verdict = "ok" if contract["ok"] and not contract["findings"] else f"{len(contract['findings'])} findings"
        holds = contract["facts"][0].split(" over")[0].split(" against")[0]
        print(
            f"{name:20} {holds:40} {wall:5.2f} s  headers {headers / 1e6:5.1f} MB, "
            f"read in all {read / 1e6:5.1f} MB  {verdict}",
            flush=True,
        )
        shutil.rmtree(bundle) if bundle.is_dir() else bundle.unlink()


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
