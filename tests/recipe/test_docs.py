"""The documents keep what they say: examples load, every code is explained, every quoted error is a real one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dsv4recipe.recipe import parse_recipe, show_recipe
from dsv4recipe.recipe.model import LAYER_SETS, PROJECTIONS, ROLES
from dsv4recipe.recipe.parents import read_parent

ROOT = Path(__file__).parent.parent.parent
LANGUAGE = (ROOT / "docs" / "reference" / "recipe-language.md").read_text(encoding="utf-8")
ERRORS = (ROOT / "docs" / "errors" / "R.md").read_text(encoding="utf-8")
GGUF = (ROOT / "docs" / "how-to" / "gguf.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```yaml (recipe|rules)\n(.*?)```", GGUF + LANGUAGE, re.DOTALL)
HEADER = LANGUAGE.split("```yaml recipe\n")[1].split("rules:")[0]


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_examples_load(number: int) -> None:
    kind, text = EXAMPLES[number]
    recipe = parse_recipe(text if kind == "recipe" else f"{HEADER}rules:\n{text}", "docs.yaml", read_parent)
    assert parse_recipe(show_recipe(recipe), "shown.yaml") == recipe


def test_the_example_of_extends_has_the_order_it_promises() -> None:
    kind, text = EXAMPLES[-1]
    assert kind == "recipe"
    recipe = parse_recipe(text, "docs.yaml", read_parent)
    assert [rule.id for rule in recipe.rules] == ["routed-experts", "control", "embeddings", "everything-else"]


def test_every_word_is_in_the_reference() -> None:
    assert [word for word in (*ROLES, *PROJECTIONS, *LAYER_SETS) if f"`{word}`" not in LANGUAGE] == []


def test_every_code_is_explained_and_every_explained_code_exists() -> None:
    room = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "dsv4recipe" / "recipe").glob("*.py"))
    used = set(re.findall(r'"(R\d{3})"', room))
    assert set(re.findall(r"^## (R\d{3}):", ERRORS, re.MULTILINE)) == used


def test_quoted_errors_are_real() -> None:
    cases = "".join(
        path.read_text(encoding="utf-8") for path in (ROOT / "tests" / "cases" / "recipes").glob("*.expected")
    )
    quoted = re.findall(r"```\n(.*?)\n```", ERRORS, re.DOTALL)
    assert len(quoted) > 20
    assert [each for each in quoted if each not in cases] == []
