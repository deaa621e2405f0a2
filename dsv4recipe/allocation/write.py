"""Floor 3, allocation. Writes what a budget buys as an ordinary recipe with its evidence, and plans it again. Pure.

The base recipe's rules for modules that are not allocated are kept; new rules replace the others.
"""

from __future__ import annotations

import math
import textwrap
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from dsv4recipe.allocation.problem import Problem, Spent
from dsv4recipe.errors import RecipeError
from dsv4recipe.plan.make import make_plan
from dsv4recipe.plan.model import Plan, PlannedModule
from dsv4recipe.plan.rules import rules_for
from dsv4recipe.recipe.model import Recipe, Rule
from dsv4recipe.recipe.show import data_text, recipe_text_data
from dsv4recipe.units import gigabytes

_SHOWN = 8
_WIDTH = 120


@dataclass(frozen=True, slots=True)
class Written:
    """The recipe, its plan and its text."""

    recipe: Recipe
    plan: Plan
    text: str


def write(
    problem: Problem, spent: Spent, name: str, purpose: str, command: str, schema: str = "", quality: str = ""
) -> Written:
    """Returns the recipe called `name`. `purpose` and `command` go into its head: for whom it is, and what makes it
    again; `schema`, if given, into the editor's modeline. `quality` says what the base recipe loses on text, with what
    that was measured on.

    Raises RecipeError A011 if planning it does not give the promised modules and bytes.
    """
    recipe = replace(problem.recipe, name=name, rules=tuple(_rules(problem, spent)), origins=(), fields=())
    plan = make_plan(recipe, problem.checkpoint)
    _check(problem, spent, plan)
    recipe = replace(recipe, summary=_summary(plan), rules=_noted(problem, recipe.rules, plan))
    plan = make_plan(recipe, problem.checkpoint)
    body = data_text(recipe_text_data(recipe), one_line=("match", "format"))
    return Written(recipe, plan, _head(problem, spent, plan, purpose, command, schema, quality) + body)


def _rules(problem: Problem, spent: Spent) -> list[Rule]:
    """Returns rules that drop first, then the new ones, then the base's for all other modules and for roles of other
    releases."""
    base = problem.recipe.rules
    half = problem.recipe.target.half
    kept = {module.rule for module in problem.base.modules if module.sources not in spent.formats}
    by_role: dict[str, list[tuple[object, object]]] = defaultdict(list)
    for group in problem.groups:
        kept_as = problem.target.kept(group.source, group.slot.row.role, half)
        by_role[group.slot.row.role].append((group, spent.formats[group.names].as_action(kept_as)))
    sets = problem.checkpoint.family.layer_sets(problem.checkpoint.dims)
    new = rules_for(by_role, sets)  # type: ignore[arg-type]
    taken = {rule.id for rule in base if rule.id in kept or rule.action == "drop"}
    new = [replace(rule, id=f"{rule.id}-2") if rule.id in taken else rule for rule in new]
    drops = [rule for rule in base if rule.action == "drop" and rule.id in problem.base.dropped]
    left = (rule if rule.id in kept else _elsewhere(rule, problem) for rule in base)
    return [*drops, *new, *(rule for rule in left if rule is not None)]


def _elsewhere(rule: Rule, problem: Problem) -> Rule | None:
    """Returns the part of a base rule that concerns roles which this checkpoint lacks, such as those of other releases'
    prediction stages."""
    if problem.recipe.target.mtp == "drop" or rule.action == "drop":
        return None
    here = {group.slot.row.role for group in problem.checkpoint.groups}
    roles = tuple(role for role in rule.match.role if role not in here)
    if not roles:
        return None
    note = f"not in this release: as {problem.recipe.name} has it"
    return replace(rule, id=f"{rule.id}-elsewhere", match=replace(rule.match, role=roles), optional=True, note=note)


def _check(problem: Problem, spent: Spent, plan: Plan) -> None:
    """Raises RecipeError unless the plan of the new recipe has exactly the promised bytes and formats."""
    wanted = {module.sources: spent.formats.get(module.sources, module.format) for module in problem.base.modules}
    got = {module.sources: module.format for module in plan.modules}
    wrong = [name for name in wanted | got if wanted.get(name) != got.get(name)]
    if wrong or plan.tensor_bytes != spent.bytes:
        message = f"the base recipe's rules conflict with the new ones: {len(wrong):,} modules get another format"
        hint = "write the base recipe's rules by role, and put the rules that drop tensors first"
        raise RecipeError("A011", message, problem.recipe.where, hint, wrong[:_SHOWN])


def _noted(problem: Problem, rules: Sequence[Rule], plan: Plan) -> tuple[Rule, ...]:
    """Returns the new rules with their evidence: bits per weight, and how much the values change."""
    groups = {group.names: group for group in problem.groups}
    claimed: dict[str, list[PlannedModule]] = defaultdict(list)
    for module in plan.modules:
        if module.sources in groups:
            claimed[module.rule].append(module)
    noted = []
    for rule in rules:
        found = claimed[rule.id]
        if found:
            errors = [problem.table.of(groups[module.sources], module.format) or 0.0 for module in found]
            bits = 8 * sum(module.bytes for module in found) / sum(module.weights for module in found)
            rmse = math.sqrt(sum(errors) / len(errors))
            exact = all(module.lossless for module in found)
            moved = "exact" if exact else f"relative RMSE {rmse:.3g}, {problem.table.kind}"
            rule = replace(rule, note=f"{bits:.4g} bits per weight, {moved}")  # noqa: PLW2901 - the same rule, noted
        noted.append(rule)
    return tuple(noted)


def _summary(plan: Plan) -> str:
    experts = dict.fromkeys(module.format.label for module in plan.modules if module.role == "routed-expert")
    return f"{gigabytes(plan.tensor_bytes)} for {plan.target['runtime']}. Routed experts: {', '.join(experts)}."


def _head(problem: Problem, spent: Spent, plan: Plan, purpose: str, command: str, schema: str, quality: str) -> str:
    mtp = "" if plan.target["mtp"] == "keep" else ", without the MTP stage"
    costs = (
        f"{plan.tensor_bytes:,} tensor bytes ({gigabytes(plan.tensor_bytes)}), {plan.bits_per_weight:.3f} bits per "
        f"weight{mtp}."
    )
    before = problem.error_of(problem.base)
    against = "" if before is None else f" {problem.recipe.name}, with {problem.base.tensor_bytes:,}, has {before:.5g}."
    evidence = (
        f"errors: {problem.table.words()}. Importance: {problem.why}. The weighted sum of relative squared errors is "
        f"{spent.error:.5g}, and no choice of formats in as many bytes is below {spent.bound:.5g}.{against} What "
        f"this recipe loses on text is not measured: `dsv4recipe evaluate {plan.recipe['name']}.yaml --source SRC` "
        "does that." + (f" {problem.recipe.name}: {quality}." if quality else "")
    )
    modeline = f"# yaml-language-server: $schema={schema}\n#\n" if schema else ""
    parts = {"For": purpose, "Costs": costs, "Evidence": evidence, "Made by": command}
    return modeline + "".join(_comment(title, text) for title, text in parts.items())


def _comment(title: str, text: str) -> str:
    lines = textwrap.wrap(text, _WIDTH - 12, break_long_words=False, break_on_hyphens=False)
    heads = [f"# {title + ':':<10}", *["#" + " " * 11] * (len(lines) - 1)]
    return "".join(f"{head}{line}\n" for head, line in zip(heads, lines, strict=True))
