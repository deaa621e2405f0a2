"""Floor 3, advice. Runs all lints over a plan, without those that a rule allows. This module is pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from dsv4recipe.advice.case import Case
from dsv4recipe.advice.lints import LINTS
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.errors import Diagnostic
from dsv4recipe.plan.model import Plan
from dsv4recipe.recipe.model import Recipe


def advise(recipe: Recipe, plan: Plan, checkpoint: Checkpoint, measured: str = "") -> tuple[Diagnostic, ...]:
    """Returns an expert's remarks on a plan. Severities are "advice" and "warning"; nothing here refuses a plan.

    `measured` is the digest of the plan that the evidence of the recipe was measured on, "" without evidence.

    A rule with `allow: [L004]` silences this code for what it claims, and for findings that concern no single rule.
    """
    case = Case(recipe, plan, checkpoint, measured)
    allowed = {
        code: {rule.id for rule in recipe.rules if code in rule.allow} for rule in recipe.rules for code in rule.allow
    }
    found = (each for lint in LINTS for each in lint(case))
    return tuple(
        each
        for rule, each in found
        if not (rule in allowed.get(each.code, ()) or (not rule and allowed.get(each.code)))
    )


def as_errors(found: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """Returns the findings as errors, for `--strict`."""
    return tuple(replace(each, severity="error") for each in found)
