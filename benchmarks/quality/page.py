"""From the measured figures to docs/evidence/quality.md, its plot, and the file that ships with the package."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dsv4recipe.evaluation.statistics import spearman
from dsv4recipe.evaluation.yardstick import FILE

Row = Mapping[str, Any]
FEW = 0.25
LEAST = 1e-6
"""KL below this is that of nothing but rounding: no point of the plot."""
HEADS = (
    "| model | bytes | bits/weight | experts' RMSE | KL | 95 % | p99 KL | ΔNLL | same top token | sums |\n"
    "|---|---:|---:|---:|---:|---|---:|---:|---:|---:|"
)
SHEET = {
    "alone: affine 4 g32 minmax": 0.00246,
    "alone: affine 4 g32 mse": 0.00084,
    "alone: affine 3 g128 minmax": 0.01117,
    "alone: affine 3 g64 minmax": 0.00880,
    "alone: affine 3 g64 mse": 0.00832,
    "alone: affine 2 g64 minmax": 0.11848,
    "alone: affine 2 g64 mse": 0.07141,
    "alone: affine 2 g32 minmax": 0.09169,
    "alone: mxtq 2": 0.08546,
    "alone: mxtq 4": 0.00304,
    "recipe: universal": 0.00016,
    "recipe: q4q8": 0.00243,
    "fit: affine 4 g32 mse": 0.00085,
    "budget: q4q8's bytes, allocated": 0.00011,
    "recipe: q3-mixed": 0.00776,
    "budget: q3-mixed's bytes, allocated": 0.00508,
    "recipe: jangtq2": 0.08559,
    "budget: jangtq2's bytes, allocated": 0.00998,
    "fit: affine 2 g64 minmax": 0.1184,
    "fit: affine 2 g64 mse": 0.0710,
}
"""KL of the same models on the same 10,240 tokens, measured apart: in transformers' whole model, by other scripts."""


def page(docs: Path, data: Mapping[str, Any]) -> None:
    """Writes what stands between the marks of docs/evidence/quality.md, and the plot."""
    named = {title.partition(": ")[2]: row for title, row in _of(data, "recipe", "fit")}
    parts = {
        "measured": "\n\n".join((table(named), _notes(data), source(data))),
        "ranks": ranks(named),
        "apart": apart(data),
    }
    path = docs / "quality.md"
    text = path.read_text(encoding="utf-8")
    for name, part in parts.items():
        before, _, rest = text.partition(f"<!-- {name} -->\n")
        _, _, after = rest.partition(f"<!-- /{name} -->\n")
        text = f"{before}<!-- {name} -->\n{part}\n<!-- /{name} -->\n{after}"
    path.write_text(text, encoding="utf-8")
    draw(docs / "quality.svg", named)


def ship(data: Mapping[str, Any], file: Path = FILE) -> None:
    """Writes the figures of the shipped recipes into the package."""
    rows = {title.partition(": ")[2]: row for title, row in _of(data, "recipe")}
    head = {key: data[key] for key in ("source", "text", "versions", "not")}
    whole = {"format_version": 2, "kind": "yardstick", **head, "recipes": rows}
    file.write_text(json.dumps(whole, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


def table(named: Mapping[str, Row]) -> str:
    """The models from the least KL to the largest."""
    lines = [HEADS]
    for name, row in sorted(named.items(), key=lambda item: item[1]["kl"]["mean"]):
        a, kl, sums = row["a"], row["kl"], row["answers"]
        low, high = kl["interval"]
        mark = " *" if row["how"] else ""
        lines.append(
            f"| {name}{mark} | {a['bytes']:,} | {a['bits_per_weight']:.3f} | {row['rmse']:.4f} | {kl['mean']:.5f} | "
            f"{low:.5f} to {high:.5f} | {kl['p99']:.3f} | {row['delta_nll']:+.4f} | "
            f"{100 * row['same_top']:.1f} % | {sums['exact']} of {sums['chats']} |"
        )
    return "\n".join(lines)


def _notes(data: Mapping[str, Any]) -> str:
    lines = ["\\* Not the recipe as it is, which is written for 43 layers or for another runtime:", ""]
    lines += [f"* {title.partition(': ')[2]}: {row['how']}." for title, row in _of(data, "recipe") if row["how"]]
    lines += ["", "Not measured, because the yardstick cannot carry them:", ""]
    return "\n".join(lines + [f"* {name}: {why}." for name, why in sorted(data["not"].items())])


def source(data: Mapping[str, Any]) -> str:
    """What the source itself has on the same text."""
    own = data["against"]
    answers, text = own["answers"], data["text"]
    return (
        f"The source has NLL {own['nll']:.4f} on these {text['scored']:,} predictions, and answers "
        f"{answers['exact']} of the {answers['chats']} sums."
    )


def ranks(named: Mapping[str, Row]) -> str:
    """The rank correlation of the experts' error and KL: over all, without the calibrated fits, at few bits alone."""
    lossy = {name: row for name, row in named.items() if row["rmse"] > 0}
    plain = {name: row for name, row in lossy.items() if "gptq" not in name}
    few = {name: row for name, row in lossy.items() if row["rmse"] > FEW}
    lines = []
    for said, rows in (
        ("All models whose experts are not exact", lossy),
        ("Without the calibrated fits", plain),
        (f"Experts' RMSE above {FEW}, which is two to three bits", few),
    ):
        distinct = {(round(row["rmse"], 6), round(row["kl"]["mean"], 6)): row for row in rows.values()}
        both = f"{_rank(rows.values()):.3f}; over the {len(distinct)} that are not alike {_rank(distinct.values()):.3f}"
        lines.append(f"* {said}: {len(rows)} models, Spearman {both}.")
    return "\n".join(lines)


def _rank(rows: Iterable[Row]) -> float:
    held = list(rows)
    return spearman(np.array([row["rmse"] for row in held]), np.array([row["kl"]["mean"] for row in held]))


def apart(data: Mapping[str, Any]) -> str:
    """The same models as they were measured apart from this command."""
    lines = ["| model | KL by the command | KL measured apart | difference |", "|---|---:|---:|---:|"]
    for title, said in SHEET.items():
        row = data["models"].get(title)
        if row is not None:
            kl = row["kl"]["mean"]
            kind, _, name = title.partition(": ")
            lines.append(
                f"| {name}{', experts alone' if kind == 'alone' else ''} | {kl:.5f} | {said:.5f} | "
                f"{100 * (kl / said - 1):+.1f} % |"
            )
    return "\n".join(lines)


def _of(data: Mapping[str, Any], *groups: str) -> list[tuple[str, Row]]:
    return [(title, row) for title, row in data["models"].items() if title.partition(": ")[0] in groups]


def draw(path: Path, named: Mapping[str, Row]) -> None:
    """KL against bits per weight; recipes are named points, fits are of another colour."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "quality"
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(9, 6))
    points: dict[tuple[float, float], list[str]] = {}
    for name, row in named.items():
        if row["kl"]["mean"] > LEAST:
            points.setdefault((round(row["a"]["bits_per_weight"], 1), float(f"{row['kl']['mean']:.2g}")), []).append(
                name
            )
    for (bits, kl), names in points.items():
        axes.plot(bits, kl, "o", color="C1" if all(n.startswith("affine") for n in names) else "C0", markersize=4)
        axes.annotate(", ".join(names), (bits, kl), fontsize=6, xytext=(3, 3), textcoords="offset points")
    axes.set_yscale("log")
    axes.set_xlabel("bits per weight, whole bundle of the yardstick")
    axes.set_ylabel("KL to the source, nats per token")
    axes.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
