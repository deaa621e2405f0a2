"""Floor 4, reports. What `verify --source --json` printed, checked against the plan it is shown with. This module is
pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from dsv4recipe.errors import Diagnostic, RecipeError, Where
from dsv4recipe.headers.strict_json import parse_json
from dsv4recipe.plan.model import Plan


@dataclass(frozen=True, slots=True)
class RoleRow:
    """What the proof sums up of a role in a format; `band` is the relative RMSE to expect, None where none is known."""

    role: str
    format: str
    tensors: int
    rel_rmse: float
    worst: str
    worst_rel_rmse: float
    band: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Measured:
    """`rel_rmse` by disk stem, the sums by role × format, the findings of the proof, and what it said it had
    checked."""

    rel_rmse: dict[str, float]
    roles: tuple[RoleRow, ...]
    findings: tuple[Diagnostic, ...]
    facts: tuple[str, ...]


def read_numbers(text: str, file: str, plan: Plan) -> Measured:
    """Returns what was measured of the bundle that `plan` describes.

    Raises RecipeError U010 if the text is no such document or holds no numbers, U011 if they are of another bundle.
    """
    try:
        document = parse_json(text.encode())
        rows = [
            (str(r["module"]), str(r["format"]), int(r["weights"]), float(r["rel_rmse"])) for r in document["numbers"]
        ]
        steps = [
            (str(s["name"]), bool(s["ok"]), [str(f) for f in s["facts"]], s["findings"]) for s in document["steps"]
        ]
        findings = tuple(_finding(data) for *_, found in steps for data in found)
        roles = tuple(_role(row) for row in document["roles"])
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, IndexError, RecursionError) as error:
        message = f"not a document of `verify --json` ({type(error).__name__}: {error})"
        raise RecipeError("U010", message, Where(file), _HINT) from None
    if not rows:
        raise RecipeError("U010", "the document holds no numbers", Where(file), _HINT)
    known = {module.path or module.disk: module for module in plan.modules}
    odd = [
        name
        for name, fmt, weights, value in rows
        if name not in known
        or (known[name].format.label, known[name].weights) != (fmt, weights)
        or not (math.isfinite(value) and value >= 0)
    ]
    if odd:
        message = f"measured on another bundle: {len(odd):,} of its {len(rows):,} modules do not fit, first {odd[0]}"
        raise RecipeError("U011", message, Where(file), _HINT)
    facts = tuple(f"{'' if ok else 'failed: '}{name}: {'; '.join(said)}" for name, ok, said, _ in steps if said)
    return Measured({known[name].disk: value for name, _, _, value in rows}, roles, findings, facts)


_HINT = "dsv4recipe verify BUNDLE --source SRC --json > numbers.json"


def _role(row: dict[str, Any]) -> RoleRow:
    band = row["band"] and (float(row["band"][0]), float(row["band"][1]))
    return RoleRow(
        str(row["role"]),
        str(row["format"]),
        int(row["tensors"]),
        float(row["rel_rmse"]),
        str(row["worst"]),
        float(row["worst_rel_rmse"]),
        band,
    )


def _finding(data: dict[str, object]) -> Diagnostic:
    severity = "error" if data["severity"] == "error" else "warning"
    return Diagnostic(str(data["code"]), str(data["message"]), hint=str(data.get("hint", "")), severity=severity)
