"""Recipes on every release: they apply by role where the runtime runs the family, and say why not where it does not."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from dsv4recipe import RecipeError, load_recipe, make_plan
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.checkpoint.releases import RELEASES
from dsv4recipe.plan.expected import expected_checkpoint
from dsv4recipe.runtimes import known, running, targets
from tests.checkpoint.test_family import PUBLISHED
from tests.recipes import WRITTEN
from tests.targets.bundles import MLX_RECIPES

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "family.md").read_text(encoding="utf-8")
CELLS = [
    (recipe, release, cell)
    for recipe, *cells in re.findall(r"^\| `([\w-]+)` \| ([\w,]+) \| ([\w,]+) \| ([\w,]+) \| ([\w,]+) \|$", PAGE, re.M)
    for release, cell in zip(RELEASES, cells, strict=True)
]
"""Recipe, release, and what docs/reference/family.md says of the plan: its bytes, or why there is none."""

PLAIN_LINEAR = {
    "v4-flash": 2 * 529_530_880 + 260_046_848 + 44_040_192 + 5_505_024,
    "v4-flash-0731": 2 * 529_530_880 + 260_046_848 + 44_040_192 + 5_505_024 + 66_191_360,
    "v4-pro": 2 * 926_679_040 + 667_942_912 + 110_100_480 + 13_762_560,
}
"""Weights that a release stores in bfloat16 and q4q8 quantizes: embedding, head, compressors, indexers, Markov head."""


@cache
def release(name: str) -> Checkpoint:
    return expected_checkpoint(RELEASES[name].full_config(), "config.json")


def test_the_page_s_table_is_what_is_planned() -> None:
    """Full size, every release."""
    assert len(CELLS) == 28
    for recipe, name, cell in CELLS:
        try:
            found = f"{make_plan(load_recipe(recipe), release(name)).tensor_bytes:,}"
        except RecipeError as error:
            found = error.diagnostics[-1].code
        assert (recipe, name, found) == (recipe, name, cell)


@pytest.mark.parametrize("name", PLAIN_LINEAR)
def test_q4q8_is_what_the_published_dtypes_make_of_it(name: str) -> None:
    """5 bits for FP4 weights, 9 for FP8 ones and for the linear ones in bfloat16, the rest as it is: from the table of
    dtypes of the real headers, which knows nothing of roles."""
    sizes = {dtype: size for dtype, (_, size) in PUBLISHED[name].items()}
    routed, linear = 2 * sizes["I8"], sizes["F8_E4M3"] + PLAIN_LINEAR[name]
    kept = sizes["BF16"] - 2 * PLAIN_LINEAR[name] + sizes["F32"] + sizes["I64"]
    assert make_plan(load_recipe("q4q8"), release(name)).tensor_bytes == routed * 5 // 8 + linear * 9 // 8 + kept


@pytest.mark.parametrize("name", RELEASES)
def test_a_shipped_recipe_applies_or_says_why_not(name: str) -> None:
    """Small copies of the releases, for time: the roles are the same."""
    from dsv4recipe.checkpoint.synth_config import synth_config

    tiny = expected_checkpoint(synth_config(name, "tiny"), "config.json")
    for recipe in map(load_recipe, [name for name in WRITTEN if name in MLX_RECIPES]):
        runs = any(tiny.family.name in target.families for target in known(recipe.target.runtime))
        meant = tiny.family.name in recipe.source.family
        stages = recipe.name != "native-dspark" or tiny.dims.dspark
        if runs and meant and stages:
            assert make_plan(recipe, tiny).modules
            continue
        with pytest.raises(RecipeError) as caught:
            make_plan(recipe, tiny)
        codes = {(not meant) * "T002", (not runs) * "T003", (runs and meant) * "T006"} - {""}
        assert {finding.code for finding in caught.value.diagnostics} == codes
        assert all(finding.hint for finding in caught.value.diagnostics)


def test_every_family_is_run_by_some_runtime_and_every_target_names_its_own() -> None:
    assert {name: sorted(running(name)) for name in ("deepseek_v4", "deepseek_v41", "deepseek_v5")} == {
        "deepseek_v4": ["ds4", "llama.cpp", "mlx-lm-fork", "mlx-vlm", "omlx", "rapid-mlx", "universal", "vmlx"],
        "deepseek_v41": ["mlx-lm", "mlx-vlm"],
        "deepseek_v5": [],
    }
    assert len({(target.name, family) for target in targets() for family in target.families}) == len(targets())
