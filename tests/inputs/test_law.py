"""The law: a plausible source is planned, or refused with a code and help that works; what is planned is built, passes
our own verify, and decodes to the source's numbers.

DSV4RECIPE_CASES=2000 draws so many sources instead of some; DSV4RECIPE_FIRST is the first seed.
"""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

import numpy as np
import pytest

from dsv4recipe import RecipeError, build, make_plan, open_checkpoint, verify
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.checkpoint.synth import synthesize
from dsv4recipe.errors import Diagnostic
from dsv4recipe.forward.stored import BundleWeights
from dsv4recipe.plan.model import Plan
from dsv4recipe.recipe.model import Recipe
from tests.inputs.drawn.draw import Source, draw
from tests.inputs.drawn.mend import EDITS, mend
from tests.inputs.drawn.model import Drawn
from tests.inputs.stored import numbers

CASES = int(os.environ.get("DSV4RECIPE_CASES", "40"))
FIRST = int(os.environ.get("DSV4RECIPE_FIRST", "0"))
TOGETHER = 20
WHILE_BUILDING = {"B022", "B023", "B024"}
"""What only the weights tell: the refusals that may come after planning."""
TRIES = 6
"""Of following the help; each takes one thing away that was done to the source."""
COMPARED = 6
"""Tensors of a bundle that are decoded and held against what was drawn."""


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Source:
    root = tmp_path_factory.mktemp("sound")

    def source(release: str, preset: str) -> Path:
        out = root / f"{release}-{preset}"
        return out if out.exists() else synthesize(out, release, preset).root

    return source


def planned(drawn: Drawn, recipe: Recipe) -> tuple[Checkpoint, Plan] | None:
    """The plan, with whatever the help of refusals says done to source and recipe; None where no help is an edit."""
    followed: set[str] = set()
    for _ in range(TRIES):
        try:
            checkpoint = open_checkpoint(drawn.folder)
            return checkpoint, make_plan(recipe, checkpoint)
        except RecipeError as error:
            found = error.diagnostics
        helpless = [each.render() for each in found if not each.hint]
        assert not helpless, f"no help:\n{helpless[0]}"
        again = followed & {each.message for each in found}
        assert not again, f"the help was followed, and it is refused again: {found[0].render()}"
        recipe, followed = mend(drawn, recipe, found)
        vague = [each for each in found if each.code in EDITS and each.message not in followed]
        assert not vague, f"help that is no edit:\n{wrong(vague)}"
        if not followed:
            return None
    raise AssertionError(f"refused again and again: {found[0].render()}")


def wrong(findings: list[Diagnostic]) -> str:
    return "\n".join(each.render() for each in findings)


def check_numbers(drawn: Drawn, checkpoint: Checkpoint, plan: Plan, bundle: Path) -> None:
    """Some tensors of the bundle, decoded, against the numbers that were drawn."""
    groups = {group.names: group for group in checkpoint.groups}
    held = BundleWeights(bundle, checkpoint)
    chosen = [m for m in plan.modules if len(m.source.shape) == 2 and m.source.stored != "int"]
    for module in drawn.rng.sample(chosen, min(COMPARED, len(chosen))):
        group = groups[module.sources]
        number = drawn.rng.randrange(len(group.members))
        exact = numbers(drawn.plain, group.members[number].name)
        stored = held.tensor(group, number)
        if module.lossless:
            assert np.array_equal(stored, exact), f"{group.members[number].name} is not exact"
        else:
            gap = np.linalg.norm(stored - exact) / np.linalg.norm(exact)
            assert gap <= module.format.error_limit(), f"{group.members[number].name} is {gap:.3f} off"


def check_case(drawn: Drawn, recipe: Recipe, out: Path) -> str:
    """What became of it, in a word."""
    found = planned(drawn, recipe)
    if found is None:
        return "refused"
    checkpoint, plan = found
    try:
        bundle = build(plan, checkpoint, out, workers=1)
    except RecipeError as error:
        late = [each for each in error.diagnostics if not drawn.odd or each.code not in WHILE_BUILDING or not each.hint]
        if late:
            raise AssertionError(f"refused while building\n{wrong(late)}") from error
        return "refused by its weights"
    steps = verify(bundle, drawn.folder, sample=60, seed=drawn.rng.randrange(1 << 20)).steps
    errors = [each for step in steps for each in step.findings if each.severity == "error"]
    assert not errors, f"built, and not verified\n{wrong(errors)}"
    check_numbers(drawn, checkpoint, plan, bundle)
    return "verified"


@pytest.mark.parametrize("first", range(FIRST, FIRST + CASES, TOGETHER))
def test_a_source_is_refused_with_help_that_works_or_built_verified_and_equal(
    first: int, sound: Source, tmp_path: Path
) -> None:
    ends = []
    for seed in range(first, min(first + TOGETHER, FIRST + CASES)):
        drawn, recipe = draw(random.Random(seed), sound, tmp_path / "source")
        suffix = ".gguf" if recipe.target.runtime == "llama.cpp" else ""
        try:
            ends.append(check_case(drawn, recipe, tmp_path / f"bundle{suffix}"))
        except (AssertionError, RecipeError) as error:
            raise AssertionError(f"seed {seed}: {', '.join(drawn.words)}\n{error}") from error
        for path in tmp_path.iterdir():
            (shutil.rmtree if path.is_dir() else Path.unlink)(path)
    print(" ".join(f"{end}: {ends.count(end)}" for end in sorted(set(ends))))
    assert "verified" in ends
    assert "refused" in ends or len(ends) < TOGETHER
