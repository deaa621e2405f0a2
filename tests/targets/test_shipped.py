"""The shipped recipes of the stock MLX runtimes: exact figures at full size, and how recipes move between runtimes."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from dsv4recipe import RecipeError, build, load_recipe, make_plan, verify
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.plan.model import Plan
from dsv4recipe.recipe.shipped import recipe_path
from dsv4recipe.runtimes import running
from tests.recipes import refusals
from tests.targets.bundles import MLX_RECIPES, MLX_TARGETS, moved


@pytest.fixture(scope="module")
def plans(full: Checkpoint) -> dict[str, Plan]:
    return {name: make_plan(load_recipe(name), full) for name in ("q3-mixed", "native", "universal", "q4q8")}


def entries(plan: Plan) -> dict[str, dict[str, object]]:
    return {key: value for key, value in plan.overrides.items() if isinstance(value, dict)}


def test_q3_mixed_is_the_published_bundle_to_the_byte(plans: dict[str, Plan]) -> None:
    plan = plans["q3-mixed"]
    assert plan.tensor_bytes == 135_346_422_876
    assert len(plan.shards) == 28
    assert plan.weights == 284_334_567_511
    assert f"{plan.bits_per_weight:.3f}" == "3.808"
    assert len(entries(plan)) == sum(module.format.kind == "affine" for module in plan.modules) == 641
    assert {key: plan.overrides[key] for key in ("bits", "group_size", "mode")} == {
        "bits": 6, "group_size": 128, "mode": "affine",
    }  # fmt: skip


def test_q3_mixed_widens_the_down_projections_of_21_layers(plans: dict[str, Plan]) -> None:
    downs = [m for m in plans["q3-mixed"].modules if (m.role, m.projection) == ("routed-expert", "down")]
    wide = {m.layer for m in downs if (m.format.quantization() or {})["bits"] == 6}
    assert len(downs) == 43
    assert wide == {0, 1, 2, 3, 4, 7, 10, 13, 16, 19, 22, 25, 28, 31, 34, 37, 38, 39, 40, 41, 42}


def test_q3_mixed_stores_what_the_branch_stores(plans: dict[str, Plan]) -> None:
    plan = plans["q3-mixed"]
    dtypes = {module.role: module.parts[0].dtype for module in plan.modules if module.format.kind == "keep"}
    assert dtypes == {
        "hash-table": "I64", "router": "BF16", "norm": "BF16", "position-bias": "BF16",
        "hyper-connection": "F32", "attention-sink": "F32", "router-bias": "F32",
    }  # fmt: skip
    assert plan.by_disk["model.layers.0.attn.wo_a"].parts[0].shape == (8192, 768)


def test_native_is_exact_and_smaller_than_q4q8(plans: dict[str, Plan]) -> None:
    plan = plans["native"]
    assert plan.tensor_bytes == 156_198_382_684
    assert all(module.lossless for module in plan.modules)
    assert plans["q4q8"].tensor_bytes - plan.tensor_bytes == 29_541_151_212
    kinds = [module.format.kind for module in plan.modules]
    assert (kinds.count("mxfp4"), kinds.count("mxfp8"), kinds.count("keep")) == (129, 365, 834)
    parts = plan.by_disk["model.layers.0.attn.wo_a"].parts
    assert [(part.suffix, part.shape) for part in parts] == [(".weight", (8, 1024, 1024)), (".scales", (8, 1024, 128))]


def test_native_decodes_to_the_source_in_every_tensor(tiny: Checkpoint, tiny_source: Path, tmp_path: Path) -> None:
    proof = verify(build(make_plan(load_recipe("native"), tiny), tiny, tmp_path / "bundle"), source=tiny_source)
    assert proof.ok
    assert len(proof.numbers) == 116
    assert {(row["rel_rmse"], row["max_error"]) for row in proof.numbers} == {(0.0, 0.0)}


def test_universal_costs_what_it_says_and_describes_every_module_four_times(plans: dict[str, Plan]) -> None:
    plan = plans["universal"]
    assert plan.tensor_bytes == 156_476_615_772
    assert all(module.lossless for module in plan.modules if module.role == "routed-expert")
    quantized = [module for module in plan.modules if module.format.quantization()]
    keys = entries(plan)
    assert len(quantized) == 639
    assert len(keys) == 4 * 639
    assert {module.disk for module in quantized} <= set(keys)
    plain = {module.role: module.parts[0].dtype for module in plan.modules if module.format.kind == "keep"}
    assert {plain[role] for role in ("embedding", "lm-head", "norm", "router")} == {"BF16"}
    assert {plain[role] for role in ("hyper-connection", "attention-sink", "router-bias", "position-bias")} == {"F32"}


def test_the_recipes_say_their_own_bytes() -> None:
    sizes = {"q3-mixed": "135,346,422,876", "native": "156,198,382,684", "universal": "156,476,615,772"}
    for name, size in sizes.items():
        assert f"{size} tensor bytes" in recipe_path(name).read_text(encoding="utf-8")


REFUSED = {
    "q4q8": {"mlx-vlm": {"T006"}, "rapid-mlx": {"T006"}, "omlx": {"T005", "T006"}, "mlx-lm-fork": {"T006"},
             "universal": {"T005", "T011"}},
    "q4q8-per-expert": {"mlx-vlm": {"T004", "T006"}, "rapid-mlx": {"T004", "T006"}, "omlx": {"T004", "T005", "T006"},
                        "mlx-lm-fork": {"T004", "T006"}, "universal": {"T004", "T005", "T011"}},
    "native": {"vmlx": {"T011"}, "mlx-lm-fork": {"T011"}, "universal": {"T011"}},
    "q3-mixed": {"vmlx": {"T012"}, "universal": {"T011", "T012"}},
    "universal": {},
}  # fmt: skip
"""Recipe → runtime → why it does not move as it is; it moves to every other runtime unchanged."""


@pytest.mark.parametrize("recipe", REFUSED)
@pytest.mark.parametrize("runtime", [name for name in MLX_TARGETS if name in running("deepseek_v4")])
def test_a_recipe_moves_by_changing_its_runtime_or_says_why_not(tiny: Checkpoint, recipe: str, runtime: str) -> None:
    codes = REFUSED[recipe].get(runtime, set())
    if not codes:
        plan = make_plan(moved(recipe, runtime), tiny)
        assert plan.target["runtime"] == runtime
        return
    with pytest.raises(RecipeError) as caught:
        make_plan(moved(recipe, runtime), tiny)
    assert {finding.code for finding in caught.value.diagnostics} == codes
    assert all(finding.hint and finding.where.line for finding in caught.value.diagnostics)


@pytest.mark.parametrize("recipe", MLX_RECIPES)
@pytest.mark.parametrize("runtime", [name for name in MLX_TARGETS if name in running("deepseek_v4")])
def test_what_the_hints_say_is_what_helps(tiny_for: Callable[[str], Checkpoint], recipe: str, runtime: str) -> None:
    """Follow every `write …` of the refusals: what is then left, if anything, is about formats, rule by rule, or says
    that the runtime does not run the family."""
    tiny = tiny_for(recipe)
    now = moved(recipe, runtime)
    for finding in refusals(now, tiny):
        for key, value in re.findall(r"^write `(experts|half|mtp): ([\w-]+)`$", finding.hint):
            now = replace(now, target=replace(now.target, **{key: value}))
    left = refusals(now, tiny)
    foreign = set() if runtime in running(tiny.family.name) else {"T003"}
    assert {finding.code for finding in left} <= {"T011", "T012", "T013", "T015", "P003"} | foreign
    assert all(finding.hint for finding in left)
