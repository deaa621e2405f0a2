"""Damage to a finished bundle, file by file: bits, cuts, holes, tails. What the check of the bytes makes of it.

python -m tests.faults.damage [--flips 10000] [--others 1000] [--seed N]
"""

from __future__ import annotations

import argparse
import os
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from dsv4recipe.verifier.integrity import check_integrity
from tests.faults.world import make_world

Damage = Callable[[bytearray, random.Random], None]


def flip(data: bytearray, rng: random.Random) -> None:
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def truncate(data: bytearray, rng: random.Random) -> None:
    del data[rng.randrange(len(data)) :]


def hole(data: bytearray, rng: random.Random) -> None:
    """A run of zeros over bytes that were not all zero."""
    at = rng.choice([i for i in (rng.randrange(len(data)) for _ in range(64)) if data[i]] or [0])
    size = rng.randint(1, 4096)
    data[at : at + size] = bytes(len(data[at : at + size]))


def zero_tail(data: bytearray, rng: random.Random) -> None:
    """Zeros from a place to the end, as lost pages leave them."""
    last = len(bytes(data).rstrip(b"\0"))
    at = rng.randrange(last)
    data[at:] = bytes(len(data) - at)


def append(data: bytearray, rng: random.Random) -> None:
    data += rng.randbytes(rng.randint(1, 4096))


PEOPLE_EDIT = {"README.md", "README.upstream.md", "LICENSE", "recipe.yaml"}
"""What no loader reads: damage to these is a warning, and the bundle still passes."""

KINDS: dict[str, Damage] = {f.__name__: f for f in (flip, truncate, hole, zero_tail, append)}


def damage(bundle: Path, kind: str, times: int, seed: int) -> int:
    """Damages a bundle `times` times, each file with the chance of its size, and mends it again.

    Returns how often `verify`'s first step named the damaged file: as an error where a loader reads it, as a warning
    where people edit it. Undamaged, the bundle must pass.
    """
    rng = random.Random(f"{kind} {seed}")
    paths = sorted(path for path in bundle.rglob("*") if path.is_file())
    weights = [max(path.stat().st_size, 20_000) for path in paths]
    if not check_integrity(bundle).ok:
        raise AssertionError("the bundle is damaged before any harm is done")
    found = 0
    for path in rng.choices(paths, weights, k=times):
        whole = path.read_bytes()
        data = bytearray(whole)
        KINDS[kind](data, rng)
        if data == whole:
            raise AssertionError(f"{kind} changed nothing in {path.name}")
        path.write_bytes(data)
        step = check_integrity(bundle)
        severity = "warning" if path.name in PEOPLE_EDIT else "error"
        named = [finding.severity for finding in step.findings if finding.where.file == os.fspath(path)]
        found += severity in named and step.ok == (severity == "warning")
        path.write_bytes(whole)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flips", type=int, default=10_000)
    parser.add_argument("--others", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        world = make_world(Path(name), "300KB", layers=1, experts=2)
        begin = time.monotonic()
        counts: Counter[str] = Counter()
        for kind in KINDS:
            times = options.flips if kind == "flip" else options.others
            counts[kind] = damage(world.whole, kind, times, options.seed)
            print(f"{kind}: {counts[kind]} of {times} found")
        print(f"seed {options.seed}, {time.monotonic() - begin:.0f} s")


if __name__ == "__main__":
    main()
