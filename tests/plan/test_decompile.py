"""From a bundle back to a recipe: it plans to the same, it is short, and what no recipe can say is refused."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from dsv4recipe import build, diff, load_recipe, make_plan, open_checkpoint
from dsv4recipe.builder.hollow import build_headers
from dsv4recipe.builder.side import side_files
from dsv4recipe.bundle.decompile import check_against, decompile_bundle
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.checkpoint.source import Origin
from dsv4recipe.checkpoint.synth import synthesize
from dsv4recipe.errors import RecipeError
from dsv4recipe.plan.decompile import About, decompile
from dsv4recipe.plan.model import Plan
from dsv4recipe.recipe.load import parse_recipe
from dsv4recipe.recipe.model import Recipe
from dsv4recipe.recipe.shipped import recipe_path
from dsv4recipe.recipe.show import data_text, recipe_text_data
from tests.bundle import foreign
from tests.plan.random_recipes import random_plan
from tests.recipes import SOUND, changed, with_first_rule
from tests.targets.bundles import MLX_RECIPES

ABOUT = About("again", "Again.", "mit", "org/model")


def same_but_for_words(first: Plan, second: Plan) -> bool:
    """Everything of a plan but rule ids, notes and the recipe's own text."""

    def content(plan: Plan) -> tuple[object, ...]:
        modules = [replace(module, rule="", note="") for module in plan.modules]
        return modules, plan.source, plan.target, plan.shards, plan.overrides, sum(plan.dropped.values())

    return content(first) == content(second)


def again(bundle: Path, checkpoint: Checkpoint) -> tuple[Recipe, Plan]:
    text, notes = decompile_bundle(bundle, "again")
    assert notes == ()
    recipe = parse_recipe(text, "again.yaml")
    return recipe, make_plan(recipe, checkpoint)


@pytest.mark.parametrize("name", MLX_RECIPES)
def test_every_shipped_recipe_comes_back(name: str, tiny_for: Callable[[str], Checkpoint], tmp_path: Path) -> None:
    source = tiny_for(name)
    plan = make_plan(load_recipe(name), source)
    recipe, replanned = again(build(plan, source, tmp_path / "bundle"), source)
    assert same_but_for_words(replanned, plan)
    assert diff(replanned, plan).empty
    assert len(recipe.rules) <= len(load_recipe(name).rules) + 1


def test_a_recipe_comes_back_at_full_size_without_the_plan_inside(full: Checkpoint, tmp_path: Path) -> None:
    recipe = load_recipe("q3-mixed")
    full = replace(full, folder=replace(full.folder, origin=Origin(recipe.source.model, "", "user")))
    plan = make_plan(recipe, full)
    bundle = build_headers(plan, full, tmp_path / "bundle")
    (bundle / "dsv4recipe.plan.json").unlink()
    (bundle / "README.md").write_bytes(side_files(plan, full)["README.md"])  # names the model; no dry run has it
    text, notes = decompile_bundle(bundle, "again")
    recipe = parse_recipe(text, "again.yaml")
    assert same_but_for_words(make_plan(recipe, full), replace(plan, source=replace(plan.source, revision="")))
    assert notes == ()
    first, *rest = recipe.rules
    assert (first.match.role, first.match.projection) == (("routed-expert",), ("down",))
    assert first.match.layer_sets == ("mlx-lm-more-bits",)
    assert len(rest) == 4


def test_random_plans_come_back(tiny: Checkpoint) -> None:
    rng = random.Random(11)
    for _ in range(60):
        plan = random_plan(rng, tiny)
        made = decompile(plan, tiny, ABOUT, "bundle")
        recipe = parse_recipe(data_text(recipe_text_data(made.recipe)), "again.yaml")
        assert diff(make_plan(recipe, tiny), plan).empty
        assert made.notes == ()
        assert len(recipe.rules) <= 16


@pytest.mark.parametrize(
    ("rule", "match"),
    [
        ("{tensor: '*.attn.q_norm.weight', layers: [1]}", {"tensor": "layers.*.attn.q_norm.weight", "layers": [1]}),
        ("{role: norm, block: mtp}", {"block": "mtp", "role": "norm"}),
        ("{role: norm, tensor: 'mtp.0.norm.weight'}", {"tensor": "mtp.*.norm.weight"}),
        ("{role: norm, tensor: 'norm.weight'}", {"tensor": "norm.weight"}),
        ("{role: [norm, router], block: main, layers: [0-2]}", {"role": ["router", "norm"]}),
    ],
)
def test_exceptions_are_said_in_the_words_of_the_language(
    rule: str, match: dict[str, object], tiny: Checkpoint
) -> None:
    text = with_first_rule(f"  - id: odd\n    match: {rule}\n    keep: float32\n")
    plan = make_plan(parse_recipe(text, "recipe.yaml"), tiny)
    made = decompile(plan, tiny, ABOUT, "bundle")
    assert same_but_for_words(make_plan(made.recipe, tiny), replace(plan, source=make_plan(made.recipe, tiny).source))
    assert len(made.recipe.rules) <= 6
    odd = [r["match"] for r in recipe_text_data(made.recipe)["rules"] if r.get("keep") == "float32"]
    assert any(match.items() <= each.items() for each in odd), odd


def test_a_bundle_of_someone_else_becomes_a_recipe_of_ours(tiny: Checkpoint, tmp_path: Path) -> None:
    text = changed("format: {affine: {bits: 4, group-size: 32}}", "format: {mxtq: {bits: 2}}")
    plan = make_plan(parse_recipe(text, "recipe.yaml"), tiny)
    bundle = foreign.jang(tmp_path / "DSV4-JANGTQ", plan, tiny)
    with pytest.raises(RecipeError) as refused:
        decompile_bundle(bundle, "again")
    assert refused.value.diagnostics[0].code == "P031"
    text, notes = decompile_bundle(bundle, "again", "deepseek-ai/DeepSeek-V4-Flash")
    assert notes == ("the entries of config.json are written as the target needs them, which differs from the bundle",)
    replanned = make_plan(parse_recipe(text, "again.yaml"), tiny)
    assert [m.format for m in replanned.modules] == [m.format for m in plan.modules]
    assert replanned.tensor_bytes == plan.tensor_bytes
    assert check_against(bundle, plan)[0].startswith("overrides")


def test_the_card_names_model_and_license(tiny: Checkpoint, tmp_path: Path) -> None:
    plan = make_plan(load_recipe("native"), tiny)
    bundle = foreign.mlx_community(tmp_path / "native", plan, tiny)
    (bundle / "README.md").write_text("---\nlicense: apache-2.0\nbase_model:\n- org/Model-X\ntags:\n- mlx\n---\nText\n")
    text, notes = decompile_bundle(bundle, "House Name", runtime="mlx-vlm")
    recipe = parse_recipe(text, "again.yaml")
    assert (recipe.name, recipe.license, recipe.source.model) == ("house-name", "apache-2.0", "org/Model-X")
    assert notes[0].startswith("116 modules get other names on disk: for example, language_model.model.layers.0.ffn.")


def test_what_no_recipe_says_is_refused_with_its_reasons(tiny: Checkpoint, tmp_path: Path) -> None:
    plan = make_plan(load_recipe("q4q8"), tiny)
    rows = foreign.tensors_of(plan)
    config = {**tiny.config, "quantization": plan.overrides}
    halves = [(n, "BF16" if n.endswith("norm.weight") else d, s) for n, d, s in rows]
    bundle = foreign.write(tmp_path / "halves", halves, config, 1)
    with pytest.raises(RecipeError) as refused:
        decompile_bundle(bundle, "again", "org/model")
    (found,) = refused.value.diagnostics
    assert found.code == "P032"
    assert found.notes == ("rule 'norm': BF16 beside half: float16 makes two half types in one bundle",)
    odd = [*rows, ("layers.0.extra.weight", "F16", (4,))]
    with pytest.raises(RecipeError) as refused:
        decompile_bundle(foreign.write(tmp_path / "odd", odd, config, 1), "again", "org/model")
    assert refused.value.diagnostics[0].code == "P030"
    assert refused.value.diagnostics[0].message == "layers.0.extra: unrecognised (no module of the family)"
    with pytest.raises(RecipeError) as refused:
        decompile_bundle(foreign.write(tmp_path / "plain", rows, config, 1), "again", "org/model", "mlx-vlm")
    assert refused.value.diagnostics[0].code == "P033"


def test_a_dropped_tensor_is_dropped_again(tiny: Checkpoint) -> None:
    text = with_first_rule("  - id: nor-the-rest\n    match: {block: mtp}\n    drop: true\n")
    plan = make_plan(parse_recipe(text, "recipe.yaml"), tiny)
    made = decompile(plan, tiny, ABOUT, "bundle")
    assert make_plan(made.recipe, tiny).modules[0].path == plan.modules[0].path
    dropped = [rule.match for rule in made.recipe.rules if rule.action == "drop"]
    assert dropped
    assert all(match.block == ("mtp",) or match.role == ("mtp-projection",) for match in dropped)


def test_sound_comes_back_as_three_rules(tiny: Checkpoint) -> None:
    plan = make_plan(parse_recipe(SOUND, "recipe.yaml"), tiny)
    assert [rule.id for rule in decompile(plan, tiny, ABOUT, "bundle").recipe.rules] == [
        "routed-expert", "everything-else", "control",
    ]  # fmt: skip


def test_a_vision_block_that_differs_comes_back(tmp_path: Path) -> None:
    """V4.1's vision blocks have a number and no layer: rules name them by their tensors. `diff` folds them."""
    source = open_checkpoint(synthesize(tmp_path / "v41", "v4.1-flash", headers_only=True).root)
    text = recipe_path("q3-mixed-v41").read_text(encoding="utf-8")

    def planned(glob: str) -> Plan:
        rule = f"  - {{id: odd, before: control, match: {{tensor: '{glob}'}}, keep: float32}}\n"
        path = tmp_path / "odd.yaml"
        path.write_text(changed("rules:\n", f"rules:\n{rule}", text), encoding="utf-8")
        return make_plan(load_recipe(str(path)), source)

    one, every = planned("vision.blocks.1.*.weight"), planned("vision.blocks.*")
    for plan in (one, every):
        assert same_but_for_words(make_plan(decompile(plan, source, ABOUT, "bundle").recipe, source), plan)
    patterns = [change.pattern for change in diff(make_plan(load_recipe("q3-mixed-v41"), source), every).changed]
    assert any("blocks.{0-1}" in pattern for pattern in patterns), patterns
    assert not any(".blocks.0." in pattern for pattern in patterns), patterns
