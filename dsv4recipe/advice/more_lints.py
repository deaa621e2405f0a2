"""Floor 3, advice. Lints about what a plan stands on: its evidence, its layers, its record, its ends. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from dsv4recipe.advice.case import Case
from dsv4recipe.errors import Diagnostic
from dsv4recipe.recipe.layers import compact

ADVICE, WARNING = "advice", "warning"
ENDS = ("embedding", "lm-head")
MEASURED_BITS = 8
"""The fewest bits in which a recipe that was measured stores embedding or head (docs/evidence/quality.md)."""

Found = tuple[str, Diagnostic]


def old_evidence(case: Case) -> Iterator[Found]:
    """L007: evidence that was measured on another plan than this one: the recipe, or what it stands on, has changed
    since."""
    measured = case.measured
    if measured and measured != case.plan.digest:
        message = f"the evidence was measured on plan {measured[:12]}, and this is plan {case.plan.digest[:12]}"
        hint = "measure this one: dsv4recipe evaluate RECIPE --source SRC --text FILE -o FILE"
        yield "", Diagnostic("L007", message, case.recipe.place("name"), hint, WARNING)


def absent_layers(case: Case) -> Iterator[Found]:
    """L008: a rule with `optional: true` names layers that the model does not have. Without that word it is P005."""
    dims = case.checkpoint.dims
    last = dims.layers + dims.stages - 1
    for rule in case.recipe.rules:
        beyond = [layer for layer in rule.match.layers if layer > last]
        if rule.optional and beyond:
            shown = ", ".join(map(str, compact(beyond)))
            message = f"rule '{rule.id}' names layers that the model does not have: {shown}"
            hint = f"the last one is {last}; end the range there, or say in a note for which model it is"
            if not rule.note:
                yield rule.id, Diagnostic("L008", message, case.place(rule.id, "match.layers"), hint, ADVICE)


def thin_ends(case: Case) -> Iterator[Found]:
    """L009: embedding or head in fewer bits than in any recipe that was measured."""
    for rule, modules in case.by_rule.items():
        thin = [
            module
            for module in modules
            if module.role in ENDS
            and not module.format.plain_dtype
            and module.bytes * 8 / module.weights < MEASURED_BITS
        ]
        if thin and not case.rules[rule].note:
            roles = " and ".join(sorted({module.role for module in thin}))
            message = f"{roles} in {thin[0].format.label}: no recipe that was measured stores it in fewer than 8 bits"
            hint = "write format: {affine: {bits: 8, group-size: 32}}, or keep: source; or say in a note what shows it"
            yield rule, Diagnostic("L009", message, case.place(rule, "format"), hint, ADVICE)
