"""Sound bundles have no finding: every shipped recipe, every target it can be moved to, every layout, with a manifest
and without. Bundles that others made are told what they are for."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from dsv4recipe import build, load_recipe, make_plan, verify
from dsv4recipe.catalogue.codes import find_code
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.errors import RecipeError
from dsv4recipe.plan.model import Plan
from dsv4recipe.runtimes import get, loaders, running
from dsv4recipe.verifier.contract.check import check_any, check_contract
from tests.bundle import foreign
from tests.recipes import ALLOCATED, WRITTEN
from tests.targets.bundles import MLX_RECIPES, MLX_TARGETS, moved

CONVERSIONS = [
    (recipe, target, mtp)
    for recipe in WRITTEN
    if recipe in MLX_RECIPES
    for target in MLX_TARGETS
    for mtp in ("keep", "drop")
]
CONVERSIONS += [(name, load_recipe(name).target.runtime, load_recipe(name).target.mtp) for name in ALLOCATED]


def planned(checkpoint: Checkpoint, recipe: str, target: str, mtp: str) -> Plan | None:
    """The plan of a shipped recipe moved to a target, its experts and half type as that target has them; None where the
    target refuses its formats."""
    found, runtime = moved(recipe, target), running(checkpoint.family.name).get(target)
    if runtime is None:
        return None
    experts = found.target.experts if found.target.experts in runtime.expert_layouts else "stacked"
    half = found.target.half if found.target.half in runtime.halves else runtime.halves[0]
    try:
        return make_plan(replace(found, target=replace(found.target, experts=experts, half=half, mtp=mtp)), checkpoint)
    except RecipeError:
        return None


def test_no_shipped_recipe_raises_an_alarm_in_any_target(tiny_for: Callable[[str], Checkpoint], tmp_path: Path) -> None:
    """The contract has no finding, and the replay of every loader of that target says that it loads: also without the
    manifest, when the runtime is known by the names alone. V4.1 has no replay, and mlx-lm refuses what they hold."""
    proven = set()
    for number, (recipe, target, mtp) in enumerate(CONVERSIONS):
        checkpoint = tiny_for(recipe)
        plan = planned(checkpoint, recipe, target, mtp)
        if plan is None:
            continue
        bundle = build(plan, checkpoint, tmp_path / str(number))
        for signed in (True, False):
            found = check_any(bundle)
            assert found.step.findings == (), (recipe, target, mtp, signed)
            assert target in found.runtimes
            verdicts = {outlook.loader: outlook.verdict for outlook in found.outlooks}
            serving = (
                {verdicts[e.name] for e in loaders("deepseek_v4") if target in e.serves} if verdicts else {"loads"}
            )
            assert serving == {"loads"}, (recipe, target, mtp)
            assert bool(verdicts) == (checkpoint.family.name == "deepseek_v4")
            (bundle / "dsv4recipe.manifest.json").unlink(missing_ok=True)
        proven.add((recipe, target))
        shutil.rmtree(bundle)
    assert {recipe for recipe, _ in proven} == set(MLX_RECIPES)
    assert {target for _, target in proven} == set(MLX_TARGETS) - {"mlx-lm"}


def test_a_bundle_without_a_manifest_says_which_runtimes_its_names_fit(tiny: Checkpoint, tmp_path: Path) -> None:
    out = build(make_plan(load_recipe("native"), tiny), tiny, tmp_path / "native")
    (out / "dsv4recipe.manifest.json").unlink()
    found = verify(out)
    assert found.ok
    assert found.runtimes == ("mlx-vlm", "rapid-mlx", "omlx")
    assert "its names are those of mlx-vlm, rapid-mlx and omlx" in found.steps[1].facts
    assert "manifest" in found.steps[0].findings[0].message


def test_a_bundle_of_mlx_vlm_convert_is_sound_where_it_was_made(tiny: Checkpoint, tmp_path: Path) -> None:
    """Everything inside `language_model`, no twin section, other stop tokens: nobody but mlx-vlm loads it."""
    plan = make_plan(load_recipe("native"), tiny)
    found = check_any(foreign.mlx_community(tmp_path / "community", plan, tiny))
    verdicts = {outlook.loader: outlook.verdict for outlook in found.outlooks}
    assert verdicts["mlx-vlm"] == "loads"
    assert verdicts["rapid-mlx"] == verdicts["omlx"] == "strict load error"
    assert verdicts["jang"] == "random weights"


def test_names_of_no_runtime_are_said_to_be_none(tiny: Checkpoint, tmp_path: Path) -> None:
    plan = make_plan(load_recipe("native"), tiny)
    rows = foreign.renamed(foreign.tensors_of(plan), lambda name: name.replace("switch_mlp.", "experts_stack."))
    found = check_any(foreign.write(tmp_path / "odd", rows, {**tiny.config, "quantization": plan.overrides}))
    assert not found.step.ok
    assert found.step.facts[-1].startswith("no known runtime has all of its names; the nearest is ")
    assert {outlook.verdict for outlook in found.outlooks} <= {
        "strict load error", "random weights", "unknown", "not supported", "refused",
    }  # fmt: skip


def test_what_cannot_be_opened_is_a_finding(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    found = verify(tmp_path / "empty")
    assert not found.ok
    assert [finding.code for finding in found.steps[1].findings] == ["V020"]
    assert found.runtimes == ()


@pytest.mark.parametrize(
    ("name", "told"),
    [("DeepSeek-V4-Flash-2bit", True), ("DeepSeek-V4-Flash-4bit", False), ("V4 5-bit", True), ("V4-6_bit", True),
     ("DeepSeek-V4-Flash-8bit", False), ("DeepSeek-V4-Flash-16bit", False), ("V4.6bits", False), ("6bitter", False)],
)  # fmt: skip
def test_a_name_with_a_width_that_no_expert_has_is_told(
    q4q8_bundle: Path, tmp_path: Path, name: str, told: bool
) -> None:
    """Experts of 4 bits, 7.65 bits per weight over the whole of this tiny bundle, so that 8 bits are true as well."""
    bundle = Path(shutil.copytree(q4q8_bundle, tmp_path / "bundle"))
    config = json.loads((bundle / "config.json").read_text())
    (bundle / "config.json").write_text(json.dumps(config | {"_name_or_path": name}))
    codes = [finding.code for finding in check_contract(bundle, get("vmlx", "deepseek_v4")).findings]
    assert codes == (["V142"] if told else [])


def test_findings_carry_what_a_user_sees(spoiled: Path) -> None:
    (spoiled / "encoding" / "encoding_dsv4.py").unlink()
    finding = next(f for f in verify(spoiled).steps[1].findings if f.code == "V131")
    assert finding.sees == find_code("V131")[0].sees == "vMLX refuses the bundle: it cannot build prompts"
    assert f"= you see: {finding.sees}" in finding.render()
    assert finding.as_json()["sees"] == finding.sees
