"""docs/evidence/compatibility.md is of this version holds every pair of recipe and target, no failure, its text."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmarks import compatibility_page
from benchmarks.matrix import NOWHERE, Legal, Sources, cell, chosen_for, legal, matrix_recipes, runtimes_of
from dsv4recipe import build

PAGE = Path(__file__).parent.parent / "docs" / "evidence" / "compatibility.md"
TEXT = PAGE.read_text(encoding="utf-8")


def table(heading: str) -> list[list[str]]:
    """Rows of the first table under a heading."""
    lines = TEXT.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0].splitlines()
    rows = [[text.strip() for text in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    return rows[2:]


RESULTS = table("Recipes in the runtimes")


@pytest.fixture(scope="module")
def cases(tiny_for: Sources) -> list[Legal]:
    return list(legal(tiny_for, matrix_recipes()))


def test_every_recipe_is_there_for_every_target_and_every_runtime_of_it(cases: list[Legal]) -> None:
    expected = {(case.recipe, case.target.name, name) for case in cases for name in runtimes_of(case)}
    assert {(row[0], row[2], row[3]) for row in RESULTS} == expected
    assert len(RESULTS) == len(expected)
    assert {row[0] for row in RESULTS} <= set(matrix_recipes())


def test_the_refused_pairs_are_those_that_the_planner_refuses(cases: list[Legal]) -> None:
    refused = [[case.recipe, case.target.name, ", ".join(case.refused)] for case in cases if case.refused]
    assert [[recipe, *rest] for recipe, _, *rest in table("What the plan refuses")] == refused


def test_nothing_failed_and_nothing_was_skipped_but_by_name() -> None:
    for recipe, release, target, runtime, load, unmatched, prompt, source, reference, *_, findings in RESULTS:
        if runtime == "—":
            assert load == f"skipped: {NOWHERE[target]}"
            continue
        assert load == ("lenient" if runtime in ("jang", "vmlx") else "strict")
        assert (unmatched, prompt) == ("0 + 0", "136 + 0" if runtime == "llama.cpp" else "136 + 4")
        assert runtime == "llama.cpp" or float(source) > 0.8
        assert reference == "—" if release == "v4.1-flash" else float(reference) > 0.8
        assert findings == ("V219" if runtime == "vmlx" and not recipe.startswith("jangtq") else "—")


def test_the_runtimes_agree_with_the_independent_implementation() -> None:
    rows = table("The runtimes against an independent implementation")
    assert {row[0] for row in rows} == {"jang", "jang-strict", "vmlx", "mlx-vlm", "rapid-mlx"}
    assert all(float(row[1]) > 0.99999 and row[4] == "100.0%" for row in rows)


@pytest.mark.parametrize("part", ["REFUSED", "DIFFERENCES", "SKIPPED"])
def test_the_text_is_that_of_its_maker(part: str) -> None:
    assert getattr(compatibility_page, part) in TEXT


def test_a_cell_is_what_it_was(cases: list[Legal], tmp_path: Path) -> None:
    variable = "DSV4RECIPE_RAPID_MLX_PYTHON"
    if variable not in os.environ:
        pytest.skip(f'{variable} is not set: eval "$(sh scripts/runtimes)"')
    (case,) = (case for case in cases if (case.recipe, case.target.name) == ("q3-mixed", "omlx"))
    assert case.plan is not None
    (chosen,) = (each for each in chosen_for(case) if each.runtime.name == "rapid-mlx")
    row = cell(case, chosen, build(case.plan, case.source, tmp_path / "bundle"), None)
    (written,) = (row for row in RESULTS if row[:4] == ["q3-mixed", "v4-flash", "omlx", "rapid-mlx"])
    made = compatibility_page._result(row | {"recipe": "q3-mixed", "release": "v4-flash", "target": "omlx"})
    assert made[:7] == written[:7]
    assert abs(float(made[7]) - float(written[7])) < 0.002  # another CPU may round otherwise


def test_a_page_without_the_reference_says_so(cases: list[Legal]) -> None:
    refused = [
        {"recipe": case.recipe, "release": "v4-flash", "target": case.target.name, "refused": list(case.refused)}
        for case in cases
        if case.refused
    ]
    page = compatibility_page.page(refused, {"skipped": "DSV4RECIPE_TORCH_PYTHON names no interpreter"})
    assert "* The torch reference: skipped: DSV4RECIPE_TORCH_PYTHON names no interpreter.\n" in page
    assert compatibility_page.DIFFERENCES not in page
