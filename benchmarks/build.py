"""Our builds against a raw copy and against the peer's converter, in turn, in one run.

    python benchmarks/build.py WORKDIR [--experts 64] [--rounds 3] [--peer-python PY] [-o RESULT.json]

WORKDIR gets a synthetic slice at V4-Flash's real shapes (1 layer, 64 experts: 1.26 GB) and needs about four times its
size. Each round runs, one after another: a raw copy of as many bytes in and out with fsync, sha256 of the output on one
core (what the manifest costs at least), our builds, and with --peer-python (an interpreter with jang, mlx-lm and torch)
the jang converter on the same source. Prints medians and ratios; everything reads from the page cache alike.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

CHUNK = 16 << 20
PEER = ["-m", "jang_tools.dsv4.convert_dsv4_jangtq"]


def timed(command: list[str]) -> dict[str, float]:
    """Wall seconds, CPU seconds and peak RSS in MB of a command in a process of its own."""
    begin = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        raise SystemExit(f"failed: {' '.join(command)}")
    rss = usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
    return {"wall": time.perf_counter() - begin, "cpu": usage.ru_utime + usage.ru_stime, "rss_mb": rss}


def raw_copy(source: Path, out: Path, size: int) -> None:
    """Reads every shard of `source`, writes `size` bytes to one file, and syncs it."""
    block = bytearray(CHUNK)
    for path in sorted(source.glob("*.safetensors")):
        with path.open("rb", buffering=0) as stream:
            while stream.readinto(block):
                pass
    with out.open("wb", buffering=0) as stream:
        for start in range(0, size, CHUNK):
            stream.write(memoryview(block)[: min(CHUNK, size - start)])
        os.fsync(stream.fileno())


def hash_once(path: Path) -> None:
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as stream:
        while chunk := stream.read(CHUNK):
            digest.update(chunk)


def self_call(what: str, *arguments: str) -> list[str]:
    return [sys.executable, __file__, "--internal", what, *arguments]


def payload(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*.safetensors"))


def rounds(work: Path, source: Path, recipes: list[str], workers: list[int], peer: str, count: int) -> dict[str, Any]:
    runs: dict[str, list[dict[str, float]]] = {}
    sizes: dict[str, int] = {}
    out = work / "out"
    program = [sys.executable, "-m", "dsv4recipe"]
    for number in range(count):
        for recipe in recipes:
            for worker in workers:
                name = f"{recipe}, {worker} worker{'s' if worker > 1 else ''}"
                shutil.rmtree(out, ignore_errors=True)
                command = ["build", recipe, "--source", str(source), "-o", str(out), "--workers", str(worker)]
                runs.setdefault(name, []).append(timed([*program, *command]))
                sizes[name] = payload(out)
            copy = work / "copy.bin"
            runs.setdefault(f"raw copy for {recipe}", []).append(
                timed(self_call("copy", str(source), str(copy), str(payload(out))))
            )
            if not number:
                runs.setdefault(f"sha256 for {recipe}", []).append(timed(self_call("hash", str(copy))))
            copy.unlink()
        for profile, kind in (("2", "jangtq"), ("2", "jang")) if peer else ():
            shutil.rmtree(out, ignore_errors=True)
            arguments = ["--src", str(source), "--dst", str(out), "--profile", profile, "--format", kind]
            name = f"jang converter, {kind} {profile}"
            runs.setdefault(name, []).append(timed([peer, *PEER, *arguments, "--variant", "std"]))
            sizes[name] = payload(out)
        print(f"round {number + 1} of {count} done", file=sys.stderr)
    shutil.rmtree(out, ignore_errors=True)
    return {
        name: {key: statistics.median(run[key] for run in found) for key in ("wall", "cpu", "rss_mb")}
        | {"rounds": len(found), "bytes": sizes.get(name, 0)}
        for name, found in runs.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("--experts", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--recipes", default="q4q8")
    parser.add_argument("--workers", default="1,2")
    parser.add_argument("--peer-python", default="")
    parser.add_argument("-o", "--output", type=Path)
    asked = parser.parse_args()
    source = asked.work / f"slice-{asked.experts}"
    program = [sys.executable, "-m", "dsv4recipe"]
    if not source.exists():
        asked.work.mkdir(parents=True, exist_ok=True)
        size = ["--preset", "slice", "--experts", str(asked.experts)]
        subprocess.run([*program, "synth", str(source), *size], check=True)
    workers = [int(number) for number in asked.workers.split(",")]
    medians = rounds(asked.work, source, asked.recipes.split(","), workers, asked.peer_python, asked.rounds)
    machine = {"cores": os.cpu_count(), "machine": platform.machine(), "system": platform.system()}
    result = {"machine": machine, "source_bytes": payload(source), "experts": asked.experts, "medians": medians}
    for name, row in medians.items():
        size = f"{row['bytes'] / 1e9:6.3f} GB" if row["bytes"] else " " * 9
        print(f"{name:32} {row['wall']:8.2f} s {row['cpu']:8.2f} CPU s {row['rss_mb']:7.0f} MB  {size}")
    if asked.output:
        asked.output.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--internal"]:
        what, *rest = sys.argv[2:]
        raw_copy(Path(rest[0]), Path(rest[1]), int(rest[2])) if what == "copy" else hash_once(Path(rest[0]))
    else:
        main()
