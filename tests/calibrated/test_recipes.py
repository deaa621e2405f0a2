"""Shipped recipes that need an activation record: as large as what they extend, fitted by it, refused without it."""

from __future__ import annotations

import pytest

from dsv4recipe import load_recipe, make_plan
from dsv4recipe.errors import RecipeError
from dsv4recipe.formats.base import wants_moments
from dsv4recipe.importance.planned import PlannedImportance
from dsv4recipe.recipe.shipped import shipped_recipes
from tests.recipes import CALIBRATED

RECORD = PlannedImportance("0" * 64, "record", 0)


def test_each_has_the_name_of_what_it_extends_or_stands_alone() -> None:
    assert {name.removesuffix("-calibrated") for name in CALIBRATED} <= set(shipped_recipes())
    assert {"q4q8-calibrated", "jangtq2-calibrated", "two-bit"} <= set(CALIBRATED)


@pytest.mark.parametrize("name", CALIBRATED)
def test_every_routed_expert_of_the_main_layers_is_fitted_by_the_record_or_exact(name: str) -> None:
    plan = make_plan(load_recipe(name), importance=RECORD)
    experts = [module for module in plan.modules if module.role == "routed-expert"]
    main = [module for module in experts if module.block == "main"]
    assert main
    assert all(wants_moments(module.format) or module.lossless for module in main)
    assert not any(wants_moments(module.format) for module in experts if module.block != "main")


@pytest.mark.parametrize("name", [name for name in CALIBRATED if name.endswith("-calibrated")])
def test_it_takes_the_bytes_of_what_it_extends(name: str) -> None:
    plan = make_plan(load_recipe(name), importance=RECORD)
    assert plan.tensor_bytes == make_plan(load_recipe(name.removesuffix("-calibrated"))).tensor_bytes


@pytest.mark.parametrize("name", CALIBRATED)
def test_without_a_record_the_refusal_says_how_to_make_one(name: str) -> None:
    with pytest.raises(RecipeError) as caught:
        make_plan(load_recipe(name))
    assert [each.code for each in caught.value.diagnostics] == ["K011"]
    assert "dsv4recipe calibrate" in caught.value.diagnostics[0].hint
