"""The models that are measured: the shipped recipes, q4q8 with other experts, and what older figures were made of.

A recipe is measured as it is where the yardstick can carry it. Else `how` says what stands in for it:

* ds4 runs one size of model alone: its recipes are planned for llama.cpp, which reads the same types. * Layers that are
named by number are those of 43. Layer j of six gets what the recipe says of layer (j + 1/2) / 6 of the 43. The bits per
weight of routed experts stay within 3 % of the recipe's own, those of all else within 10 %.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from dsv4recipe import RecipeError, allocate, load_recipe, make_plan
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.plan.model import Plan
from dsv4recipe.plan.weighed import uses_importance
from dsv4recipe.recipe.load import parse_recipe
from dsv4recipe.recipe.model import Recipe, Rule
from dsv4recipe.recipe.shipped import recipe_path, shipped_recipes
from dsv4recipe.records.model import Record

FLASH_LAYERS = 43
FITS = {
    f"affine {bits} g{group} {fit}": f"{{affine: {{bits: {bits}, group-size: {group}, fit: {fit}}}}}"
    for bits, group in ((2, 64), (3, 128), (4, 32))
    for fit in ("minmax", "mse", "gptq")
}
"""q4q8 with other routed experts."""
ALONE = {
    f"affine {bits} g{group} {fit}": f"{{affine: {{bits: {bits}, group-size: {group}, fit: {fit}}}}}"
    for bits, group in ((4, 32), (3, 128), (3, 64), (2, 64), (2, 32))
    for fit in ("minmax", "mse")
} | {f"mxtq {bits}": f"{{mxtq: {{bits: {bits}}}}}" for bits in (2, 4)}
"""Routed experts alone, everything else as the source has it."""
BUDGETS = {"q4q8": 13_768_704, "q3-mixed": 8_759_332, "jangtq2": 9_726_066}
"""Allocations in the bytes of these recipes, all formats allowed, errors measured on the yardstick."""
_EXPERTS = "{affine: {bits: 4, group-size: 32}}"


@dataclass(frozen=True)
class Model:
    """`group` is "recipe", "fit", "alone" or "budget"; `shipped` the recipe that a figure is said of; `record` is what
    calibrated it."""

    group: str
    name: str
    plan: Plan
    shipped: Recipe | None = None
    how: str = ""
    record: Record | None = None


def models(checkpoint: Checkpoint, record: Record) -> Iterator[Model | tuple[str, str]]:
    """Each model, or (the name of a shipped recipe, why it cannot be measured here)."""
    for name in shipped_recipes():
        recipe = load_recipe(name)
        try:
            fitting, how = stand_in(recipe, checkpoint)
            guide = record if uses_importance(recipe) else None
            yield Model("recipe", name, make_plan(fitting, checkpoint, importance=guide), recipe, how, guide)
        except RecipeError as error:
            yield name, error.diagnostics[0].message
    for group, table in (("fit", FITS), ("alone", ALONE)):
        for name, text in table.items():
            guide = record if "gptq" in name else None
            yield Model(group, name, make_plan(_with_experts(name, text), checkpoint, importance=guide), record=guide)
    for name, size in BUDGETS.items():
        made = allocate(name, checkpoint, budget=size, workers=1, name=f"{name}-allocated")
        assert made.plan is not None
        yield Model("budget", f"{name}'s bytes, allocated", made.plan)


def stand_in(recipe: Recipe, checkpoint: Checkpoint) -> tuple[Recipe, str]:
    """The recipe as a checkpoint of fewer layers can carry it, and what was changed; "" where nothing was."""
    said = []
    if any(rule.match.layers for rule in recipe.rules):
        recipe = replace(recipe, rules=tuple(_scaled(recipe, checkpoint)))
        said.append("its layers by number are those at the same depth")
    if recipe.target.runtime == "ds4":
        recipe = replace(recipe, target=replace(recipe.target, runtime="llama.cpp", backends=()))
        said.append("planned for llama.cpp, which reads the same types")
    return recipe, "; ".join(said)


def _scaled(recipe: Recipe, checkpoint: Checkpoint) -> Iterator[Rule]:
    places = [int((layer + 0.5) * FLASH_LAYERS / checkpoint.dims.layers) for layer in range(checkpoint.dims.layers)]
    for rule in recipe.rules:
        if not rule.match.layers:
            yield rule
            continue
        layers = tuple(layer for layer, place in enumerate(places) if place in rule.match.layers)
        if layers:
            yield replace(rule, match=replace(rule.match, layers=layers))


def _with_experts(name: str, text: str) -> Recipe:
    """q4q8 with another format for the routed experts. No record holds inputs of the MTP stage."""
    base = recipe_path("q4q8").read_text(encoding="utf-8").replace(_EXPERTS, text.replace("gptq", "minmax"), 1)
    if "gptq" in text:
        rule = f"  - id: calibrated\n    match: {{role: routed-expert, block: main}}\n    format: {text}\n"
        base = base.replace("rules:\n", "rules:\n" + rule, 1)
    return parse_recipe(base, str(Path(f"{name}.yaml")))
