"""Broken recipes with the message each must give: tests/cases/recipes/NAME.yaml and NAME.expected."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from dsv4recipe.errors import Problems, RecipeError
from dsv4recipe.recipe import load_recipe, schema_text
from dsv4recipe.recipe.nodes import plain
from dsv4recipe.recipe.text import parse_text

CASES = Path(__file__).parent.parent / "cases" / "recipes"
NAMES = sorted(path.stem for path in CASES.glob("*.yaml"))
SCHEMA_CODES = {"R020", "R021", "R022", "R023", "R024", "R025", "R026", "R027"}
STRICTER = {"bits-float", "shard-size-fraction"}
"""What JSON schema draft-07 cannot refuse: 4.0 is an integer there, and sizes are arithmetic."""


def test_every_broken_recipe_has_its_message() -> None:
    assert len(NAMES) > 100
    assert sorted(path.stem for path in CASES.glob("*.expected")) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_message(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(CASES)
    with pytest.raises(RecipeError) as error:
        load_recipe(Path(f"{name}.yaml"))
    assert f"{error.value}\n" == Path(f"{name}.expected").read_text(encoding="utf-8")
    for found in error.value.diagnostics:
        where = found.where
        assert where.column - 1 + where.length <= max(len(where.text), where.column), (
            "the caret points outside of its line"
        )


@pytest.mark.parametrize("name", NAMES)
def test_the_editor_agrees(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `check` refuses by the schema, a stock draft-07 validator in an editor refuses too."""
    monkeypatch.chdir(CASES)
    with pytest.raises(RecipeError) as error:
        load_recipe(Path(f"{name}.yaml"))
    found = [each for each in error.value.diagnostics if each.where.file == f"{name}.yaml"]
    if name in STRICTER or not any(each.code in SCHEMA_CODES for each in found):
        return
    problems = Problems()
    data = plain(parse_text(Path(f"{name}.yaml").read_text(encoding="utf-8"), name, problems))
    assert not jsonschema.Draft7Validator(json.loads(schema_text("recipe"))).is_valid(data)
