"""Floor 5, api. `report` makes one self-contained HTML page about a plan, a recipe or a bundle."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dsv4recipe.allocation.machine import CONTEXT, kv_bytes
from dsv4recipe.api.build import evidence_for
from dsv4recipe.api.named import AnyPlan, Planner, Side
from dsv4recipe.api.subjects import AnyCheckpoint
from dsv4recipe.bundle.manifest import manifest_path, read_manifest
from dsv4recipe.errors import Diagnostic
from dsv4recipe.evaluation.evidence import Evidence, evidence_of
from dsv4recipe.evaluation.shipped import shipped_evidence
from dsv4recipe.paths import as_path
from dsv4recipe.plan.diff import diff as plan_diff
from dsv4recipe.plan.model import Plan
from dsv4recipe.reports.curve import read_allocation
from dsv4recipe.reports.diff_page import render_diff
from dsv4recipe.reports.numbers import read_numbers
from dsv4recipe.reports.page import render_page
from dsv4recipe.runtimes import get
from dsv4recipe.verifier.contract.check import check_any, check_contract
from dsv4recipe.verifier.result import Verification

if TYPE_CHECKING:
    from dsv4recipe.importance.model import Guide


@dataclass(frozen=True)
class Report:
    """The page as HTML, the plan that it shows, and the result of the contract if it is a bundle."""

    html: str
    plan: Plan
    findings: Sequence[Diagnostic]


def report(
    plan: AnyPlan,
    *,
    numbers: Verification | str | Path | None = None,
    allocation: str | Path | None = None,
    checkpoint: AnyCheckpoint | None = None,
    importance: Guide | str | Path | None = None,
    evidence: str | Path | None = None,
) -> Report:
    """Returns a page about a plan, a recipe (planned with `checkpoint`), a plan file or a bundle. It needs no network
    and holds no time, host or path, so the same inputs give the same bytes.

    `numbers` is what `verify` with a source returned, or a file of what `verify --json` printed; `allocation` a file of
    what `allocate --json` printed; `evidence` a file of `evaluate -o`. A bundle shows the evidence that its manifest
    holds, and a shipped recipe what it loses on the yardstick. Raises RecipeError R0xx and M031 where these are of
    another plan, U012 without jinja2.
    """
    planner = Planner(checkpoint, importance)
    side = planner.side(plan)
    measured = curve = None
    if isinstance(numbers, Verification):
        measured = read_numbers(json.dumps(numbers.data()), numbers.bundle, side.plan)
    elif numbers is not None:
        measured = read_numbers(_text(numbers), str(numbers), side.plan)
    target = get(side.plan.target["runtime"], side.plan.source.family)
    findings = () if side.folder is None else check_contract(side.folder, target).findings
    outlooks = () if side.folder is None else check_any(side.folder).outlooks
    loaders = [(f"{each.loader} {each.version}".rstrip(), each.verdict) for each in outlooks]
    if allocation is not None:
        curve = read_allocation(
            as_path(allocation).read_text(encoding="utf-8", errors="replace"), str(allocation), side.plan
        )
    quality = [found.sentence_for(side.plan) for found in _evidence(side, evidence)]
    kv = kv_bytes(planner.at_hand, CONTEXT) if planner.at_hand is not None else None
    page = render_page(side.plan, measured, findings, side.notes, curve, quality, kv, loaders)
    return Report(page, side.plan, findings)


def _evidence(side: Side, file: str | Path | None) -> list[Evidence]:
    """Returns what is known of a plan: the file that was named, what the bundle's manifest holds, the yardstick's
    figures."""
    found = [] if file is None else [evidence_for(as_path(file), side.plan)]
    if side.folder is not None:
        held = (read_manifest(side.folder) or {}).get("evidence")
        found += [evidence_of(held, manifest_path(side.folder))] if isinstance(held, dict) else []
    shipped = shipped_evidence(side.plan.recipe) if side.plan.recipe else None
    return [*found, *([shipped] if shipped else [])]


def _text(file: str | Path) -> str:
    return as_path(file).read_text(encoding="utf-8", errors="replace")


def report_diff(
    before: AnyPlan,
    after: AnyPlan,
    *,
    checkpoint: AnyCheckpoint | None = None,
    importance: Guide | str | Path | None = None,
) -> str:
    """Returns a page about what `after` changes against `before`: plans, recipes, plan files or bundles, as in `diff`.
    Raises RecipeError as `diff` does, U012 without jinja2."""
    old, new = Planner(checkpoint, importance).sides(before, after)
    found = plan_diff(old.plan, new.plan)
    names = [str(side.plan.recipe.get("name") or "bundle") for side in (old, new)]
    if names[0] == names[1]:
        names = [f"{name}, {side.plan.digest[:12]}" for name, side in zip(names, (old, new), strict=True)]
    return render_diff(found, old.plan, new.plan, (names[0], names[1]))
