"""Every shipped recipe and fit on the yardstick. Needs torch; the page needs matplotlib.

    python -m benchmarks.quality WORK [--tokens N] [--sums N] [--only NAME…]
    python -m benchmarks.quality WORK --page

The first form measures what docs/evidence/quality.json does not hold yet and writes after each model, so that it can be
stopped and go on; WORK keeps the activation record of the calibrated fits. The second writes the tables of quality.md
and quality.svg beside it, and dsv4recipe/evaluation/yardstick.json, which the package ships.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

DOCS = Path(__file__).resolve().parent.parent.parent / "docs" / "evidence"


def main() -> None:
    parser = argparse.ArgumentParser(description="Every shipped recipe and fit on the yardstick.")
    parser.add_argument("work", type=Path)
    parser.add_argument("--tokens", type=int, default=10240)
    parser.add_argument("--sums", type=int, default=150)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--page", action="store_true")
    given = parser.parse_args()
    held = DOCS / "quality.json"
    if given.page:
        from benchmarks.quality.page import page, ship

        data = json.loads(held.read_text())
        ship(data)
        page(DOCS, data)
    else:
        from benchmarks.quality.measure import measure

        measure(held, given.work, given.tokens, given.sums, given.only)


if __name__ == "__main__":
    main()
