"""Floor 3, plan. Checks that an importance file is given if formats weigh errors by one, and that it serves all of
them. This module is pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.errors import Problems, RecipeError, Where
from dsv4recipe.formats.base import Format, wants_importance, wants_moments, wants_record
from dsv4recipe.importance.planned import PlannedImportance
from dsv4recipe.plan.model import Plan
from dsv4recipe.recipe.model import Recipe
from dsv4recipe.runtimes import Claim

if TYPE_CHECKING:
    from dsv4recipe.importance.model import Guide

_SHOWN = 8


def uses_importance(recipe: Recipe) -> bool:
    """Returns whether a rule of the recipe asks for an importance file or an activation record."""
    return any(not isinstance(rule.action, str) and guided(rule.action) for rule in recipe.rules)


def guided(fmt: Format) -> bool:
    """Returns whether an importance file or an activation record guides the encoder of a format."""
    return wants_importance(fmt) or wants_moments(fmt)


def guide_words(planned: PlannedImportance) -> tuple[str, str]:
    """Returns what guides a plan, and the option that names it."""
    if planned.format == "record":
        return "an activation record", "--calibration RECORD"
    return "an importance file", "--importance FILE"


def check_importance(
    recipe: Recipe,
    claims: Sequence[Claim],
    checkpoint: Checkpoint,
    importance: Guide | PlannedImportance | None,
    problems: Problems,
) -> None:
    """Reports I010 (entries that are missing or empty), I011 (no file given) and I012 (a file that no rule asks for).
    For activation records the codes are K010 to K012. K013 is a recipe that asks for both, K014 a record of another
    checkpoint."""
    by_record = [claim for claim in claims if wants_record(claim.format)]
    by_file = [claim for claim in claims if wants_importance(claim.format) and not wants_record(claim.format)]
    if by_record and by_file:
        rules = f"rule '{by_file[0].rule.id}' asks for an importance file, rule '{by_record[0].rule.id}' for a record"
        hint = "write `importance: record`; an activation record can replace an importance file everywhere"
        message = f"a plan takes an importance file or an activation record, not both: {rules}"
        problems.error("K013", message, by_file[0].rule.place("format"), hint)
        return
    wanting, which = by_record or by_file, bool(by_record)
    is_record = importance is not None and importance.planned.format == "record"
    if wanting and (importance is None or is_record != which):
        rule = wanting[0].rule
        hint = "add --importance FILE, an imatrix of this model"
        message = f"rule '{rule.id}' weighs errors by an importance file, but none is given"
        if which:
            hint = "add --calibration RECORD; `dsv4recipe calibrate` makes one"
            message = f"rule '{rule.id}' is fitted by an activation record, but none is given"
        problems.error("K011" if which else "I011", message, rule.place("format"), hint)
        return
    if importance is None:
        return
    if not wanting:
        hint = "write `importance: file` in a format that uses it, or leave out --importance"
        message = "an importance file is given, but no rule asks for one"
        if is_record:
            hint = "write `fit: gptq` or `importance: record` in a format, or leave out --calibration"
            message = "an activation record is given, but no rule asks for one"
        problems.error("K012" if is_record else "I012", message, recipe.where, hint)
        return
    if isinstance(importance, PlannedImportance):
        return
    folder = checkpoint.folder
    if importance.source not in (None, (folder.config_digest, folder.header_digest)):
        message = "the activation record was made from another checkpoint"
        hint = "record this checkpoint with `dsv4recipe calibrate`"
        problems.error("K014", message, Where(importance.file), hint)
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
        if which:
            message = f"the activation record lacks the inputs of modules that are fitted by it ({len(found)} {noun})"
            again = "dsv4recipe calibrate SRC --text FILE -o RECORD --modules all"
            hint = f"record them too (`{again}`), or write a rule for these modules that needs no record"
            problems.error("K010", message, Where(importance.file), hint, [*found[:_SHOWN], *more])
            return
        message = f"the importance file lacks modules that are weighed by it ({len(found)} {noun})"
        hint = "make a file with all of these tensors, or write a rule without `importance: file` for those it lacks"
        problems.error("I010", message, Where(importance.file), hint, [*found[:_SHOWN], *more])


def check_same_importance(plan: Plan, importance: Guide | None) -> None:
    """Raises RecipeError I020 unless `importance` is the file that the plan was made with, or there is none in both."""
    planned = plan.importance
    if (None if importance is None else importance.planned) == planned:
        return
    if importance is None:
        assert planned is not None
        what, option = guide_words(planned)
        message, hint = f"this was planned with {what}, but none is given", f"add {option}"
        raise RecipeError("I020", message, hint=hint, notes=(f"the plan was made with sha256 {planned.sha256}",))
    if planned is None:
        what, option = guide_words(importance.planned)
        hint = f"leave out {option.split()[0]}, or make the plan with it"
        raise RecipeError("I020", f"this was planned without {what}", Where(importance.file), hint)
    notes = (f"the plan was made with sha256 {planned.sha256}", f"this file has {importance.sha256}")
    what, _ = guide_words(planned)
    hint = "pass the file that the plan was made with, or make the plan again"
    message = f"this was planned with another {what.split(maxsplit=1)[1]}"
    raise RecipeError("I020", message, Where(importance.file), hint, notes)
