"""Typical mistakes that a plan refuses: what its help says is done, and the recipe then passes or fails otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from dsv4recipe import RecipeError, make_plan
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.recipe.load import parse_recipe
from tests.mends import mended
from tests.recipes import changed

MISTAKES: dict[str, dict[str, Any]] = yaml.safe_load(
    (Path(__file__).parent.parent / "cases" / "mistakes.yaml").read_text(encoding="utf-8")
)


@pytest.mark.parametrize("name", MISTAKES)
def test_the_help_carried_out_ends_the_error(name: str, tiny: Checkpoint) -> None:
    case = MISTAKES[name]
    text = changed(*case["slip"])
    with pytest.raises(RecipeError) as refused:
        make_plan(parse_recipe(text, "recipe.yaml"), tiny)
    first = refused.value.diagnostics[0]
    assert first.code == case["code"]
    assert first.hint, "an author is left alone with the message"
    new = changed(*case["mend"], text) if "mend" in case else mended(text, first)
    assert new is not None, f"nobody knows what to do about: {first.hint}"
    try:
        make_plan(parse_recipe(new, "recipe.yaml"), tiny)
    except RecipeError as error:
        left = {(each.code, each.message) for each in error.diagnostics}
        assert (first.code, first.message) not in left
