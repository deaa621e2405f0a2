"""Recipe texts for tests: one sound recipe, and ways to change a line of it."""

from __future__ import annotations

from dsv4recipe import RecipeError, make_plan
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.errors import Diagnostic
from dsv4recipe.recipe.model import Recipe
from dsv4recipe.recipe.shipped import recipe_path, shipped_recipes

ALLOCATED = tuple(name for name in shipped_recipes() if "# Made by:" in recipe_path(name).read_text(encoding="utf-8"))
"""Shipped recipes that `allocate` made for all 43 layers: the fixture `tiny_for` has a checkpoint for them."""

CALIBRATED = tuple(name for name in shipped_recipes() if "fit: gptq" in recipe_path(name).read_text(encoding="utf-8"))
"""Shipped recipes that need an activation record: tests/calibrated plans, builds and proves them."""

UNGUIDED = tuple(name for name in shipped_recipes() if name not in CALIBRATED)
"""Those that a checkpoint alone suffices for."""

WRITTEN = tuple(name for name in UNGUIDED if name not in ALLOCATED)

SOUND = """\
recipe: 1
name: sound
summary: 4-bit experts, 8-bit elsewhere.
license: mit
source:
  model: deepseek-ai/DeepSeek-V4-Flash
  revision: 6e763230a9d263eca2023f1d4a5ce1bfe126cf48
  family: deepseek_v4
target:
  runtime: vmlx
  experts: stacked
  mtp: keep
  shard-size: 5GiB
  half: float16
rules:
  - id: routed-experts
    match: {role: routed-expert}
    format: {affine: {bits: 4, group-size: 32}}
  - id: control
    match: {role: [norm, router, router-bias, hyper-connection, attention-sink, position-bias, hash-table]}
    keep: source
  - id: everything-else
    match: {role: [attention, compressor, indexer, shared-expert, embedding, lm-head, mtp-projection]}
    format: {affine: {bits: 8, group-size: 32}}
"""


def changed(old: str, new: str, text: str = SOUND) -> str:
    """The recipe with one piece of text replaced, which must be there."""
    if old not in text:
        raise AssertionError(f"{old!r} is not in the recipe")
    return text.replace(old, new, 1)


def with_first_rule(rule: str, text: str = SOUND) -> str:
    """The recipe with one more rule in front."""
    return changed("rules:\n", "rules:\n" + rule, text)


def refusals(recipe: Recipe, checkpoint: Checkpoint) -> tuple[Diagnostic, ...]:
    """Why there is no plan; nothing where there is one."""
    try:
        make_plan(recipe, checkpoint)
    except RecipeError as error:
        return error.diagnostics
    return ()
