"""Time of planning the full layout with very many rules, from a cold process.

    python -m benchmarks.many_rules [--rules N] [--rounds R]

Runs the real `plan` with three rules and with N more in front of them, in turns. Wall time depends on what else the
machine does; processor time does so less. Half of the rules name fields, half of them one tensor or stack by a glob.
"""

from __future__ import annotations

import argparse
import random
import resource
import statistics
import subprocess
import tempfile
from pathlib import Path
from time import perf_counter

from benchmarks.runs import PROGRAM
from dsv4recipe.recipe.template import init_text

_UNITS = {
    "attention": {name: f"attn.{name}.weight" for name in ("wq_a", "wq_b", "wkv", "wo_a", "wo_b")},
    "routed-expert": {"down": "ffn.experts.*.w2.weight"},
    "shared-expert": {"down": "ffn.shared_experts.w2.weight"},
}
_LAYERS = 43


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rules", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        few, many = Path(folder, "few.yaml"), Path(folder, "many.yaml")
        few.write_text(init_text("few"), encoding="utf-8")
        many.write_text(with_rules(asked.rules), encoding="utf-8")
        files = {3: few, asked.rules + 3: many}
        took: dict[int, list[tuple[float, float]]] = {count: [] for count in files}
        for _ in range(asked.rounds):
            for count, file in files.items():
                took[count].append(run([*PROGRAM, "plan", str(file), "--release", "v4-flash", "--json"]))
    for count, runs in took.items():
        wall, processor = (statistics.median(values) for values in zip(*runs, strict=True))
        print(f"{count:,} rules: median of {asked.rounds}: {wall:.2f} s, {processor:.2f} s of processor time")


def with_rules(count: int) -> str:
    """The starter recipe with `count` more rules in front, none of which has to match."""
    rng = random.Random(0)
    lines = []
    for number in range(count):
        role = rng.choice(sorted(_UNITS))
        projection = rng.choice(sorted(_UNITS[role]))
        layer = rng.randrange(_LAYERS)
        match = f"role: {role}, projection: {projection}, layers: [{layer}]"
        if number % 2:
            match = f'tensor: "layers.{layer}.{_UNITS[role][projection]}"'
        action = f"format: {{affine: {{bits: {rng.choice((4, 5, 6, 8))}, group-size: 32}}}}"
        lines.append(f"  - {{id: r{number}, match: {{{match}}}, {action}, optional: true}}\n")
    head, rules, tail = init_text("many").partition("\nrules:\n")
    return head + rules + "".join(lines) + tail


def run(command: list[str]) -> tuple[float, float]:
    """Wall and processor seconds of a command that must succeed."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return perf_counter() - start, processor


if __name__ == "__main__":
    main()
