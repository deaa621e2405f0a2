"""An editor with the published schema and `check` say the same of a recipe."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from dsv4recipe.errors import Problems, RecipeError
from dsv4recipe.recipe import schema_text
from dsv4recipe.recipe.nodes import plain
from dsv4recipe.recipe.text import parse_text
from dsv4recipe.runtimes import probes

ROOT = Path(__file__).parent.parent
CASES = sorted((ROOT / "tests" / "cases" / "recipes").glob("*.yaml"))
SOUND = sorted([*(ROOT / "recipes").glob("*.yaml"), *(ROOT / "examples").rglob("*.yaml")])
EDITOR = jsonschema.Draft7Validator(json.loads(schema_text("recipe")))
BY_SCHEMA = re.compile(r"^error\[R02[0-7]\]", re.MULTILINE)
"""Findings of `check` that come from the schema."""
STRICTER = {"bits-float", "shard-size-fraction", "extends-broken-parent"}
"""Draft-07 takes 4.0 for a whole number and cannot multiply a size out; an editor does not open parents."""


def seen_by_an_editor(path: Path) -> list[Any]:
    return list(EDITOR.iter_errors(plain(parse_text(path.read_text(encoding="utf-8"), path.name, Problems()))))


def test_there_are_cases() -> None:
    assert len(CASES) > 60
    assert {"house.yaml", "base.yaml", "q4q8.yaml"} <= {path.name for path in SOUND}


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_an_editor_marks_what_check_refuses_by_the_schema(path: Path) -> None:
    expected = path.with_suffix(".expected").read_text(encoding="utf-8")
    try:
        found = seen_by_an_editor(path)
    except (RecipeError, UnicodeDecodeError):
        return  # no YAML at all: nothing for a schema to say
    if BY_SCHEMA.search(expected) and path.stem not in STRICTER:
        assert found
    if found:
        assert expected.startswith("error[")


@pytest.mark.parametrize("path", SOUND, ids=lambda path: path.stem)
def test_an_editor_marks_nothing_in_a_sound_recipe_that_names_its_schema(path: Path) -> None:
    assert seen_by_an_editor(path) == []
    modeline = re.match(r"# yaml-language-server: \$schema=(\S+)\n", path.read_text(encoding="utf-8"))
    assert modeline
    assert (path.parent / modeline[1]).resolve() == ROOT / "schemas" / "recipe.schema.json"


def test_choices_are_spelled_out_so_that_editors_complete_them() -> None:
    """Every field is free text by a pattern, a number in a range, a choice with all its words, or made of these."""

    def loose(schema: dict[str, Any], path: str) -> list[str]:
        kinds = {"enum", "const", "pattern", "$ref", "anyOf", "properties", "items", "minimum", "minLength"}
        found = []
        for name, field in {**schema.get("properties", {}), **schema.get("definitions", {})}.items():
            here = f"{path}.{name}"
            free = field.get("type") == "boolean" or name in ("summary", "note", "mxfp4", "mxfp8")
            found += [] if kinds & set(field) or free else [here]
            found += loose(field, here)
        return found

    assert loose(EDITOR.schema, "") == []


def test_the_page_for_editors_names_what_there_is() -> None:
    page = (ROOT / "docs" / "how-to" / "editors.md").read_text(encoding="utf-8")
    for word in (
        "all",
        *probes(),
        "_DSV4RECIPE_COMPLETE=bash_source",
        "_DSV4RECIPE_COMPLETE=zsh_source",
        "fish_source",
    ):
        assert word in page
