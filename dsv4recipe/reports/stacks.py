"""Floor 4, reports. Where the bytes are: stacked by role, and layer by layer. This module is pure."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from dsv4recipe.plan.model import Plan, PlannedModule
from dsv4recipe.reports.heat import BITS, step
from dsv4recipe.reports.overview import ticks

Row = dict[str, Any]
KINDS = ("routed experts", "shared experts", "attention", "other")
_KIND = {
    "routed-expert": 0, "shared-expert": 1, "attention": 2, "compressor": 2, "indexer": 2, "attention-sink": 2,
}  # fmt: skip


def by_role(plan: Plan) -> Row:
    """Returns a bar for each role, its parts stacked by bits per weight: x and width of 1000, on an axis of bytes."""
    sums: dict[str, dict[int, list[PlannedModule]]] = defaultdict(lambda: defaultdict(list))
    for module in plan.modules:
        bits = module.bytes * 8 / module.weights if module.weights else 0.0
        sums[module.role][step(bits, BITS)].append(module)
    totals = {role: sum(m.bytes for found in parts.values() for m in found) for role, parts in sums.items()}
    end, words = ticks(max(totals.values(), default=1))
    rows = []
    for role in sorted(totals, key=lambda name: -totals[name]):
        begin, parts = 0.0, []
        for colour, found in sorted(sums[role].items()):
            size = sum(module.bytes for module in found)
            labels = ", ".join(dict.fromkeys(module.format.label for module in found))
            parts.append(
                {"x": round(begin, 2), "width": round(size * 1000 / end, 2), "step": colour,
                 "words": f"{role}, {labels}: {size:,} B"}
            )  # fmt: skip
            begin += size * 1000 / end
        rows.append({"role": role, "bytes": totals[role], "parts": parts, "share": totals[role] / plan.tensor_bytes})
    return {"rows": rows, "ticks": words}


def by_layer(plan: Plan) -> Row:
    """Returns a column for each layer, stacked by kind, in a box of 1000 × 1000, and what is outside of layers last."""
    layers: dict[tuple[bool, int, str], dict[int, int]] = defaultdict(lambda: defaultdict(int))
    for module in plan.modules:
        key = (module.layer is None, module.layer or 0, _label(module))
        layers[key][_KIND.get(module.role, 3)] += module.bytes
    keys = sorted(layers)
    end, words = ticks(max((sum(parts.values()) for parts in layers.values()), default=1), 4)
    pitch = 1000 / max(1, len(keys))
    columns = []
    for number, key in enumerate(keys):
        top, parts = 1000.0, []
        for kind in range(len(KINDS)):
            size = layers[key][kind]
            if size:
                height = size * 1000 / end
                top -= height
                parts.append(
                    {"y": round(top, 2), "height": round(height, 2), "kind": kind,
                     "words": f"{key[2]}, {KINDS[kind]}: {size:,} B"}
                )  # fmt: skip
        x, width = round((number + 0.08) * pitch, 2), round(pitch * 0.84, 2)
        columns.append({"x": x, "width": width, "label": key[2], "parts": parts})
    return {"columns": columns, "ticks": words, "kinds": KINDS}


def _label(module: PlannedModule) -> str:
    if module.layer is None:
        return "outside of layers"
    return f"layer {module.layer} (MTP)" if module.block == "mtp" else f"layer {module.layer}"
