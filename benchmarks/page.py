"""docs/evidence/performance.md and its plots from the results of one run of `scripts/benchmarks`.

python -m benchmarks.page docs/evidence WORKDIR
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from string import Template
from typing import Any

import matplotlib as mpl

mpl.use("svg")
mpl.rcParams["svg.hashsalt"] = "dsv4recipe"
from matplotlib import pyplot as plt  # noqa: E402 - after the choice of the backend

from benchmarks.sizes import scaling, seconds, whole_layer  # noqa: E402

PARTS = ("build", "layer", "sizes", "kernels", "spent")


def machine_line(machine: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    return (
        f"{machine['cores']} cores, {machine['processor']}; {machine['system']}, Python {machine['python']}, {versions}"
    )


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def builds(result: dict[str, Any]) -> str:
    rows = [
        [
            name,
            f"{run['wall']:.2f} s",
            f"{run['cpu']:.2f} s",
            f"{run['rss_mb']:.0f} MB",
            f"{run['bytes']:,} B",
            str(run["rounds"]),
        ]
        for name, run in result["medians"].items()
    ]
    return table(["command", "wall", "CPU", "peak RSS", "bytes written", "rounds"], rows)


def ratios(result: dict[str, Any]) -> str:
    rows = [
        [row["what"], f"{row['ratio']:.2f} ×", f"{row['sense']} {row['goal']:g} ×", "yes" if met(row) else "**no**"]
        for row in result["ratios"]
    ]
    return table(["ratio of wall times", "measured", "goal", "met"], rows)


def met(row: dict[str, Any]) -> bool:
    return bool(row["ratio"] >= row["goal"] if row["sense"] == "at least" else row["ratio"] <= row["goal"])


def sizes(result: dict[str, Any]) -> str:
    rows = [
        [row["recipe"], str(row["workers"]), str(row["experts"]), f"{row['weights']:,}", f"{row['wall']:.2f} s",
         f"{rate(row):.3f} ns", f"{row['rss_mb']:.0f} MB"]
        for row in result["rows"]
    ]  # fmt: skip
    return table(["recipe", "workers", "experts", "weights", "wall", "per weight", "peak RSS"], rows)


def whole(result: dict[str, Any]) -> str:
    rows = [
        [recipe, f"{weights:,}", f"{seconds(result['rows'], recipe, weights) / 60:.1f} min"]
        for recipe, weights in result["whole"].items()
    ]
    return table(["recipe", "weights of V4-Flash", "extrapolated"], rows)


def stages(recipes: dict[str, dict[str, float]]) -> str:
    names = list(dict.fromkeys(name for found in recipes.values() for name in found))
    rows = [
        [name, *(f"{found.get(name, 0) / sum(found.values()):.0%}" for found in recipes.values())] for name in names
    ]
    return table(["share of the busy threads' time", *recipes], rows)


def rate(row: dict[str, Any]) -> float:
    return float(row["wall"]) / int(row["weights"]) * 1e9


def kernels(infos: list[dict[str, Any]]) -> str:
    rows = [
        [info["stored"], "`" + json.dumps(info["format"]).replace('"', "") + "`",
         f"{info['million_weights_per_second']:,}", f"{info['goal']:,}"]
        for info in infos
    ]  # fmt: skip
    return table(["source", "format", "measured", "goal"], rows)


def draw(build: dict[str, Any], size: dict[str, Any], out: Path) -> None:
    medians = build["medians"]
    figure, axis = plt.subplots(figsize=(8, 0.32 * len(medians) + 1))
    axis.barh(list(medians), [run["wall"] for run in medians.values()], color="#4878a8")
    axis.set_xscale("log")
    axis.set_xlabel("seconds of wall time (log scale)")
    axis.invert_yaxis()
    save(figure, out / "builds.svg")
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2))
    for recipe, workers in dict.fromkeys((row["recipe"], row["workers"]) for row in size["rows"]):
        rows = [row for row in size["rows"] if (row["recipe"], row["workers"]) == (recipe, workers)]
        label = f"{recipe}, {workers} worker{'s' if workers > 1 else ''}"
        experts = [row["experts"] for row in rows]
        left.plot(experts, [rate(row) for row in rows], "o-", label=label)
        right.plot(experts, [row["rss_mb"] for row in rows], "o-", label=label)
    for axis, what in ((left, "nanoseconds per weight"), (right, "peak RSS, MB")):
        axis.set_xscale("log", base=2)
        axis.set_xticks(experts, [str(number) for number in experts])
        axis.set_ylim(bottom=0)
        axis.set_xlabel("experts in the layer")
        axis.set_ylabel(what)
        axis.legend()
    save(figure, out / "sizes.svg")


def save(figure: Any, path: Path) -> None:
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def main(docs: Path, work: Path) -> None:
    out = docs / "performance"
    out.mkdir(exist_ok=True)
    found = {name: json.loads((work / f"{name}.json").read_text()) for name in PARTS}
    found["kernels"] = [row["extra_info"] for row in found["kernels"]["benchmarks"]]
    build, layer, size = found["build"], found["layer"], found["sizes"]
    text = Template(Path(__file__).with_name("performance.md").read_text()).substitute(
        machine=machine_line(build["machine"]), experts=build["experts"], source_bytes=f"{build['source_bytes']:,}",
        rounds=build["rounds"], ratios=ratios(build), builds=builds(build), size_rounds=size["rounds"],
        sizes=sizes(size), whole=whole(size), layer_ratios=ratios(layer), layer_builds=builds(layer),
        scaling=f"{scaling(size['rows']):.2f}", whole_layer=f"{whole_layer(size['rows']):.2f}",
        kernels=kernels(found["kernels"]), stages=stages(found["spent"]["recipes"]),
    )  # fmt: skip
    (docs / "performance.md").write_text(text)
    for name, data in found.items():
        (out / f"{name}.json").write_text(json.dumps(data, indent=1) + "\n")
    draw(build, size, out)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
