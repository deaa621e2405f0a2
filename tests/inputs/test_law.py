"""The law: a source is planned, or refused with a code and help; what is planned and built passes our own verify.

DSV4RECIPE_CASES=2000 draws so many sources instead of a handful.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterable
from pathlib import Path

import pytest

from dsv4recipe import RecipeError, build, load_recipe, make_plan, open_checkpoint, verify
from dsv4recipe.errors import Diagnostic
from tests.inputs.drawn import draw

CASES = int(os.environ.get("DSV4RECIPE_CASES", "8"))
RECIPES = ("q4q8", "q4q8-per-expert", "q3-mixed", "native", "universal", "jangtq2-k")
WHILE_BUILDING = {"B022"}
"""What only the weights tell: the one refusal that may come after planning."""


def outcome(folder: Path, recipe: str, odd: bool) -> Iterable[Diagnostic]:
    """What should not be: a refusal without help, one that comes late, a bundle that does not pass. `odd` weights may
    be refused while they are read."""
    try:
        checkpoint = open_checkpoint(folder / "source")
        plan = make_plan(load_recipe(recipe), checkpoint)
    except RecipeError as error:
        return [found for found in error.diagnostics if not found.hint]
    try:
        out = build(plan, checkpoint, folder / "bundle")
    except RecipeError as error:
        return [found for found in error.diagnostics if not odd or found.code not in WHILE_BUILDING]
    steps = verify(out, folder / "source").steps
    return [found for step in steps for found in step.findings if found.severity == "error"]


@pytest.mark.parametrize("first", range(0, CASES, 50))
def test_what_is_built_passes_verify_and_the_rest_is_refused_with_help(
    first: int, tiny_source: Path, tmp_path: Path
) -> None:
    for seed in range(first, min(first + 50, CASES)):
        rng = random.Random(seed)
        words = draw(rng, tiny_source, tmp_path / "source")
        recipe = rng.choice(RECIPES)
        told = f"seed {seed}, {recipe}: {', '.join(words)}"
        wrong = "\n".join(each.render() for each in outcome(tmp_path, recipe, "table not renumbered" in words))
        assert not wrong, f"{told}\n{wrong}"
        for folder in tmp_path.iterdir():
            shutil.rmtree(folder)
