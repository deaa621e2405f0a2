"""What a cluster brings: a model of the cost, checked against shards measured here and against the real scheduler.

python -m benchmarks.scale_out record WORKDIR -o docs/evidence/scale-out.json   real shards timed, and a fit
python -m benchmarks.scale_out expect WORKDIR -o docs/evidence/scale-out.json   the model of V4-Pro by those recipes
python -m benchmarks.scale_out overhead WORKDIR -o docs/evidence/scale-out.json the engine against local, equal cores
python -m benchmarks.scale_out simulate WORKDIR -o docs/evidence/scale-out.json 8 to 512 workers × the V4-Pro task list
python -m benchmarks.scale_out plot -o docs/evidence/scale-out.json             docs/evidence/scale-out.svg
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("record", "expect", "simulate", "plot", "overhead"))
    parser.add_argument("work", type=Path, nargs="?", default=Path())
    parser.add_argument("-o", "--output", type=Path)
    parser.add_argument("--recipe", default="jangtq2")
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--experts", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5, help="Of overhead; added to those that the output has.")
    parser.add_argument("--workers", default="8,32,128,512")
    parser.add_argument("--seconds", type=float, default=12.0, help="That a simulated build is made to last.")
    asked = parser.parse_args()
    data = json.loads(asked.output.read_text()) if asked.output and asked.output.exists() else {}
    asked.work.mkdir(parents=True, exist_ok=True)
    found = run(asked, data)
    if found is not None:
        data[asked.what] = found
        print(json.dumps(found, indent=1))
        if asked.output:
            asked.output.write_text(json.dumps(data, indent=1) + "\n")


def run(asked: argparse.Namespace, data: dict[str, Any]) -> dict[str, Any] | None:
    """The figures of one command; None if it makes none."""
    match asked.what:
        case "record":
            from benchmarks.scale_out.record import record

            return record(asked.work)
        case "expect":
            from benchmarks.scale_out.expect import expect

            return expect(asked.work, data["record"])
        case "overhead":
            from benchmarks.scale_out.overhead import overhead

            rounds = data.get("overhead", {}).get(asked.recipe, {})
            more = overhead(
                asked.work, asked.recipe, asked.layers, asked.experts, asked.rounds, rounds, data.get("record", {})
            )
            return {**data.get("overhead", {}), asked.recipe: more}
        case "simulate":
            from benchmarks.scale_out.simulate import simulate

            return simulate(asked.work, data["record"], [int(each) for each in asked.workers.split(",")], asked.seconds)
        case _:
            from benchmarks.scale_out.plot import plot

            plot(data["simulate"], asked.output.with_suffix(".svg"))
            return None


if __name__ == "__main__":
    main()
