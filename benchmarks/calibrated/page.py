"""The tables of docs/how-to/calibration.md, between its marks. Writes that page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.calibrated.cases import AFFINE, MXTQ, RECIPES, case
from benchmarks.calibrated.records import SEEDS

Row = dict[str, Any]
WIDTHS = (*AFFINE, *MXTQ)
RECORDS_SAID = {None: "none (minmax)", "chapters": "chapters alone", "sums": "sums alone", "large": "both"}


class Found:
    """What was measured, by case; None for what was not."""

    def __init__(self, data: dict[str, Any]) -> None:
        self.models: dict[str, Row] = data["models"]

    def __call__(self, width: str, fit: str, record: str | None = None, half: str = "float16") -> Row | None:
        return self.models.get(case(width, fit, record, half).name)


def kl(row: Row, text: str = "dev") -> float:
    return float(row[text]["kl"]["mean"])


def sums(row: Row) -> str:
    found = row["sums"]["answers"]
    return f"{found['exact']} of {found['chats']}"


def formats(found: Found) -> Iterator[str]:
    yield "| experts | scales | fit | KL | ratio to minmax | same top token | ΔNLL | held-out sums |"
    yield "|---|---|---|---:|---:|---:|---:|---:|"
    names = {"plain": "minmax", "mse": "`mse`", "importance": "`mse`, `importance: record`", "gptq": "**`gptq`**"}
    for half in ("float16", "bfloat16"):
        for width in WIDTHS:
            base = found(width, "plain", None, half)
            for fit, name in names.items():
                row = found(width, fit, "large" if fit in ("importance", "gptq") else None, half)
                if row is None or base is None:
                    continue
                said = "nearest level" if fit == "plain" and width in MXTQ else name
                scales = "norms, float16" if width in MXTQ else half
                yield (
                    f"| {width} | {scales} | {said} | {kl(row):.5f} | {kl(row) / kl(base):.3f} | "
                    f"{100 * row['dev']['same_top']:.1f} % | {row['dev']['delta_nll']:+.4f} | {sums(row)} |"
                )


def seeds(found: Found) -> Iterator[str]:
    yield "| experts | records | least ratio to minmax | median | greatest | `fit: mse`, ratio |"
    yield "|---|---:|---:|---:|---:|---:|"
    for width in WIDTHS:
        base, mse = found(width, "plain"), found(width, "mse")
        rows = [row for seed in range(SEEDS) if (row := found(width, "gptq", f"little {seed}")) is not None]
        if base is None or not rows:
            continue
        ratios = sorted(kl(row) / kl(base) for row in rows)
        beside = f"{kl(mse) / kl(base):.3f}" if mse else "–"
        yield f"| {width} | {len(rows)} | {ratios[0]:.3f} | {median(ratios):.3f} | {ratios[-1]:.3f} | {beside} |"


def domains(found: Found) -> Iterator[str]:
    yield "| experts | record of | KL on chapters | KL on sums | held-out sums |"
    yield "|---|---|---:|---:|---:|"
    for width in WIDTHS:
        for record, said in RECORDS_SAID.items():
            row = found(width, "gptq" if record else "plain", record)
            if row is not None:
                yield f"| {width} | {said} | {kl(row):.5f} | {kl(row, 'sums'):.5f} | {sums(row)} |"


def recipes(found: Found) -> Iterator[str]:
    yield "| recipe | bytes on the yardstick | KL | ratio | same top token | held-out sums |"
    yield "|---|---:|---:|---:|---:|---:|"
    for name in RECIPES:
        row, base = (found.models.get(f"recipe {each}") for each in (name, name.removesuffix("-calibrated")))
        if row is not None:
            ratio = f"{kl(row) / kl(base):.3f}" if base and base is not row else ""
            yield (
                f"| {name} | {row['bytes']:,} | {kl(row):.5f} | {ratio} | {100 * row['dev']['same_top']:.1f} % | "
                f"{sums(row)} |"
            )


def crossing(found: Found) -> Iterator[str]:
    two, three = found("2 g64", "gptq", "large"), found("3 g128", "plain")
    if two and three:
        share = 100 * (kl(two) / kl(three) - 1)
        where = "above" if share > 0 else "below"
        yield (
            f"2.5 bits calibrated (2 g64, KL {kl(two):.5f}) are {abs(share):.0f} % {where} 3.25 bits by minmax "
            f"(3 g128, KL {kl(three):.5f})."
        )


def write_page(docs: Path, data: dict[str, Any]) -> None:
    """Writes what lies between <!-- measured --> and <!-- /measured -->."""
    found = Found(data)
    said = f"Test: {data['tokens']:,} tokens of `dev.npy` and {data['sums']} held-out sums."
    parts = [said, "\n".join(formats(found)), "\n".join(crossing(found))]
    for title, rows in (
        ("Whole recipes, those that are calibrated by the large record:", list(recipes(found))),
        ("Ten records of 6,400 tokens, drawn by seeds:", list(seeds(found))),
        ("Texts of another kind:", list(domains(found))),
    ):
        if len(rows) > 2:
            parts += [title, "\n".join(rows)]
    path = docs / "how-to" / "calibration.md"
    before, _, rest = path.read_text(encoding="utf-8").partition("<!-- measured -->\n")
    _, _, after = rest.partition("<!-- /measured -->\n")
    text = "\n\n".join(part for part in parts if part)
    path.write_text(f"{before}<!-- measured -->\n{text}\n<!-- /measured -->\n{after}", encoding="utf-8")
