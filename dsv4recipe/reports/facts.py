"""Floor 4, reports. What the page says, as plain data for its template. This module is pure: same plan, same page."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from dsv4recipe.errors import Diagnostic
from dsv4recipe.formats import Format, from_spec
from dsv4recipe.plan.ledger import ledger
from dsv4recipe.plan.model import Plan, PlannedModule
from dsv4recipe.recipe.show import data_text
from dsv4recipe.reports.curve import Curve
from dsv4recipe.reports.heat import BITS, bits_map, rmse_map, runs, step
from dsv4recipe.reports.numbers import Measured
from dsv4recipe.reports.overview import overview
from dsv4recipe.reports.patterns import patterns
from dsv4recipe.reports.stacks import by_layer, by_role
from dsv4recipe.runtimes import running

Row = dict[str, Any]


def page_facts(
    plan: Plan,
    measured: Measured | None = None,
    findings: Sequence[Diagnostic] = (),
    notes: Sequence[str] = (),
    curve: Curve | None = None,
    quality: Sequence[str] = (),
    kv: int | None = None,
    loaders: Sequence[tuple[str, str]] = (),
) -> Row:
    """Returns everything the template shows. `findings` are lints of the bundle, `notes` what to know of how it was
    read, `quality` what was measured on text, with what it was measured on. `kv` are the bytes of a KV cache for
    32,768 tokens, `loaders` (name, what it makes of the bundle)."""
    said = [*findings, *(measured.findings if measured else ())]
    return {
        "plan": plan,
        "title": plan.recipe.get("name") or plan.source.model.rsplit("/", 1)[-1] or "bundle",
        "ledger": _ledger(plan),
        "overview": overview(plan, kv),
        "loaders": loaders,
        "by_role": by_role(plan),
        "by_layer": by_layer(plan),
        "bits": bits_map(plan.modules),
        "runs": runs(plan.modules),
        "rmse": rmse_map(plan.modules, measured.rel_rmse) if measured else None,
        "roles": sorted(measured.roles, key=lambda row: (-row.worst_rel_rmse, row.role)) if measured else [],
        "curve": curve,
        "quality": quality,
        "facts": measured.facts if measured else (),
        "outside": [_outside(module) for module in plan.modules if module.layer is None],
        "shards": [{"file": s.file, "modules": len(s.modules), "tensors": s.tensor_bytes, "file_bytes": s.file_bytes}
                   for s in plan.shards],
        "sidecar": _sidecar(plan),
        "overrides": _overrides(plan.overrides),
        "findings": sorted(dict.fromkeys((f.severity, f.code, f.message, f.hint) for f in said)),
        "checked": bool(measured or findings or notes),
        "notes": notes,
        "rules": _rules(plan),
        "recipe_text": data_text(plan.recipe) if plan.recipe else "",
    }  # fmt: skip


def _ledger(plan: Plan) -> list[Row]:
    """Returns the ledger with each row's share of the whole, and where its part of the bar begins (both of 1000)."""
    total, begin, found = plan.tensor_bytes or 1, 0.0, []
    for row in ledger(plan.modules):
        width = row.bytes * 1000 / total
        colour = step(row.bits_per_weight, BITS)
        found.append(row.data() | {"x": round(begin, 2), "width": round(width, 2), "step": colour})
        begin += width
    return found


def _outside(module: PlannedModule) -> Row:
    return {
        "name": module.path or module.disk,
        "format": module.format.label,
        "shape": " × ".join(map(str, module.shape)),
        "bytes": module.bytes,
        "bits": module.bytes * 8 / module.weights if module.weights else 0.0,
    }


def _sidecar(plan: Plan) -> list[tuple[str, int]]:
    target = running(plan.source.family).get(str(plan.target.get("runtime")))
    return sorted(target.sidecar((m.source, m.format) for m in plan.modules).items()) if target else []


def _overrides(overrides: Mapping[str, Any]) -> Row:
    """Globals as text, and per entry its patterns with their names: what 33,000 rows say, in a few."""
    groups: dict[str, list[str]] = defaultdict(list)
    for name, entry in overrides.items():
        if isinstance(entry, dict):
            groups[_entry(entry)].append(name)
    top = {name: value for name, value in overrides.items() if not isinstance(value, dict)}
    rows = [{"entry": e, "count": len(names), "patterns": patterns(names)} for e, names in sorted(groups.items())]
    return {"top": _entry(top) if top else "", "groups": rows, "count": sum(row["count"] for row in rows)}


def _entry(entry: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {entry[key]}" for key in sorted(entry))


def _rules(plan: Plan) -> list[Row]:
    """Returns the recipe's rules in order, each with its words and what it claimed."""
    claimed: dict[str, list[PlannedModule]] = defaultdict(list)
    for module in plan.modules:
        claimed[module.rule].append(module)
    rows = []
    for rule in plan.recipe.get("rules", ()):
        found = claimed[rule["id"]]
        rows.append({
            "id": rule["id"],
            "match": [(key, ", ".join(map(str, values))) for key, values in rule["match"].items()],
            "action": _action(rule),
            "note": rule.get("note", ""),
            "modules": len(found),
            "bytes": sum(module.bytes for module in found),
        })  # fmt: skip
    return rows


def _action(rule: Mapping[str, Any]) -> str:
    if "format" in rule:
        fmt: Format = from_spec(rule["format"])
        return fmt.label
    return f"keep {rule['keep']}" if "keep" in rule else "drop"
