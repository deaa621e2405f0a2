"""Floor 3, plan. Where formats weigh errors by an importance file: one is given, and serves all of them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dsv4recipe.errors import Problems, RecipeError, Where
from dsv4recipe.formats.base import wants_importance
from dsv4recipe.importance.planned import PlannedImportance
from dsv4recipe.plan.model import Plan
from dsv4recipe.recipe.model import Recipe
from dsv4recipe.runtimes import Claim

if TYPE_CHECKING:
    from dsv4recipe.importance.model import Guide

_SHOWN = 8


def uses_importance(recipe: Recipe) -> bool:
    """Whether a rule of the recipe asks for an importance file."""
    return any(not isinstance(rule.action, str) and wants_importance(rule.action) for rule in recipe.rules)


def check_importance(
    recipe: Recipe,
    claims: Sequence[Claim],
    importance: Guide | PlannedImportance | None,
    problems: Problems,
) -> None:
    """Findings: I010 entries that are missing or say nothing, I011 no file given, I012 a file that no rule asks for."""
    wanting = [claim for claim in claims if wants_importance(claim.format)]
    if importance is None:
        if wanting:
            rule = wanting[0].rule
            hint = "add --importance FILE, an imatrix of this model"
            message = f"rule '{rule.id}' weighs errors by an importance file, and none is given"
            problems.error("I011", message, rule.place("format"), hint)
        return
    if not wanting:
        hint = "write `importance: file` in a format that fits by it, or leave out --importance"
        message = "an importance file is given, and no rule asks for one"
        problems.error("I012", message, recipe.where, hint)
        return
    if isinstance(importance, PlannedImportance):
        return
    found = []
    for claim in wanting:
        group = claim.group
        problem = importance.problem((m.name for m in group.members), group.source.shape[1], group.experts)
        if problem:
            found.append(f"rule '{claim.rule.id}': {problem}")
    if found:
        more = [f"and {len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
        noun = "module" if len(found) == 1 else "modules"
        message = f"the importance file does not serve all that is weighed by it ({len(found)} {noun})"
        hint = "make it with all of these tensors, or give those it lacks a rule without `importance: file`"
        problems.error("I010", message, Where(importance.file), hint, [*found[:_SHOWN], *more])


def check_same_importance(plan: Plan, importance: Guide | None) -> None:
    """Raises RecipeError I020 unless `importance` is the file that the plan was made with, or there is none of both."""
    planned = plan.importance
    if (None if importance is None else importance.planned) == planned:
        return
    if importance is None:
        assert planned is not None
        message, hint = "this was planned with an importance file, and none is given", "add --importance FILE"
        raise RecipeError("I020", message, hint=hint, notes=(f"planned with sha256 {planned.sha256}",))
    if planned is None:
        message = "this was planned without an importance file"
        raise RecipeError("I020", message, Where(importance.file), "leave out --importance, or make the plan with it")
    notes = (f"planned with sha256 {planned.sha256}", f"this file has {importance.sha256}")
    hint = "give that file, or make the plan again"
    raise RecipeError("I020", "this was planned with another importance file", Where(importance.file), hint, notes)
