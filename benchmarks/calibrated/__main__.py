"""Calibrated encoding on the yardstick: the figures of docs/calibration.md. Needs torch.

    python -m benchmarks.calibrated WORK [--tokens N] [--sums N] [--only WORD…]
    python -m benchmarks.calibrated WORK --page docs

The first form measures what WORK/calibrated.json does not hold yet, and writes after each model: stop it and start it
again. Records are made on the way, below WORK. `--only` measures the models whose names have one of the words. The
second writes the tables of docs/calibration.md.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from benchmarks.calibrated.cases import cases
from benchmarks.calibrated.page import write_page


def measure(work: Path, tokens: int, sums: int, only: list[str]) -> None:
    from benchmarks.calibrated.measuring import Bench
    from benchmarks.calibrated.records import record

    work.mkdir(parents=True, exist_ok=True)
    out = work / "calibrated.json"
    data = json.loads(out.read_text()) if out.exists() else {"tokens": tokens, "sums": sums, "models": {}}
    bench = Bench(data["tokens"], data["sums"])
    for case in cases():
        if case.name in data["models"] or (only and not any(word in case.name for word in only)):
            continue
        given = None if case.record is None else record(case.record, bench.checkpoint, work)
        found = bench.experts(case.format, case.half, given)
        data["models"][case.name] = found
        out.write_text(json.dumps(data, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        answers, kl = found["sums"]["answers"], found["dev"]["kl"]["mean"]
        print(f"{case.name}: KL {kl:.5f}, sums {answers['exact']} of {answers['chats']}", flush=True)


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
