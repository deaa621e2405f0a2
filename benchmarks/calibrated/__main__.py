"""Calibrated encoding on the yardstick: the figures of docs/how-to/calibration.md. Needs torch.

    python -m benchmarks.calibrated WORK [--tokens N] [--sums N] [--only WORD…]
    python -m benchmarks.calibrated WORK --page docs

The first form measures what WORK/calibrated.json does not hold yet, and writes after each model: stop it and start it
again. Records are made on the way, below WORK. `--only` measures the models whose names have one of the words. The
second writes the tables of docs/how-to/calibration.md.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.calibrated.cases import RECIPES, cases
from benchmarks.calibrated.page import write_page
from dsv4recipe import load_recipe
from dsv4recipe.records.model import Record


def measure(work: Path, tokens: int, sums: int, only: list[str]) -> None:
    from benchmarks.calibrated.measuring import Bench
    from benchmarks.calibrated.records import record

    work.mkdir(parents=True, exist_ok=True)
    out = work / "calibrated.json"
    data = json.loads(out.read_text()) if out.exists() else {"tokens": tokens, "sums": sums, "models": {}}
    bench = Bench(data["tokens"], data["sums"])

    def keep(name: str, measured: Callable[[], dict[str, Any]]) -> None:
        if name in data["models"] or (only and not any(word in name for word in only)):
            return
        found = data["models"][name] = measured()
        out.write_text(json.dumps(data, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        answers, kl = found["sums"]["answers"], found["dev"]["kl"]["mean"]
        print(f"{name}: KL {kl:.5f}, sums {answers['exact']} of {answers['chats']}", flush=True)

    def made(name: str | None) -> Record | None:
        return None if name is None else record(name, bench.checkpoint, work)

    for name in RECIPES:
        keep(f"recipe {name}", lambda name=name: bench.recipe(load_recipe(name), made("large")))  # type: ignore[misc]
    for case in cases():
        keep(case.name, lambda case=case: bench.experts(case.format, case.half, made(case.record)))  # type: ignore[misc]


def main() -> None:
    parser = argparse.ArgumentParser(description="Calibrated encoding on the yardstick.")
    parser.add_argument("work", type=Path)
    parser.add_argument("--tokens", type=int, default=4096)
    parser.add_argument("--sums", type=int, default=150)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--page", type=Path)
    given = parser.parse_args()
    if given.page is None:
        measure(given.work, given.tokens, given.sums, given.only)
    else:
        write_page(given.page, json.loads((given.work / "calibrated.json").read_text()))


if __name__ == "__main__":
    main()
