"""The contract over vMLX bundles: none of the six recipes has a finding, and what does no harm is a warning."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from dsv4recipe import build, load_recipe, make_plan
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.recipe.load import parse_recipe
from dsv4recipe.runtimes import get
from dsv4recipe.verifier.contract.check import check_contract
from dsv4recipe.verifier.integrity import check_integrity
from tests.recipes import changed
from tests.verifier.mutants import STEMS, config, drop, edit, jang

RECIPES = ("jangtq2", "jangtq2-per-expert", "jangtq2-k", "jangtq-hash4", "q4q8", "q4q8-per-expert")
TWO_GROUP_SIZES = changed("format: {affine: {bits: 8, group-size: 32}}", "format: {affine: {bits: 4, group-size: 64}}")


@pytest.fixture(scope="module")
def sound(tiny: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("contract")
    recipes = {name: load_recipe(name) for name in RECIPES}
    recipes["two-group-sizes"] = parse_recipe(TWO_GROUP_SIZES, "recipe.yaml")
    return {name: build(make_plan(recipe, tiny), tiny, root / name) for name, recipe in recipes.items()}


def findings(bundle: Path) -> list[tuple[str, str, str]]:
    return [(f.code, f.severity, f.message) for f in check_contract(bundle, get("vmlx", "deepseek_v4")).findings]


@pytest.mark.parametrize("recipe", [*RECIPES, "two-group-sizes"])
def test_a_sound_bundle_has_no_finding(sound: dict[str, Path], recipe: str) -> None:
    assert findings(sound[recipe]) == []
    assert check_integrity(sound[recipe]).findings == ()


def test_prestacked_entries_by_path_alone_are_a_warning(sound: dict[str, Path], tmp_path: Path) -> None:
    """vMLX has no alias for prestacked names, so that their entries under the module path survive its guess."""
    bundle = Path(shutil.copytree(sound["q4q8"], tmp_path / "bundle"))
    drop(*STEMS)(bundle)
    assert {(code, severity) for code, severity, _ in findings(bundle)} == {("V140", "warning")}
    found = check_contract(bundle, get("vmlx", "deepseek_v4")).findings
    assert all(each.sees.startswith("nothing: vMLX finds the entry") for each in found)  # it runs as it was built


def test_which_version_writes_over_entries_is_named(sound: dict[str, Path], tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(sound["q4q8-per-expert"], tmp_path / "bundle"))
    drop(*STEMS)(bundle)
    found = [each for each in check_contract(bundle, get("vmlx", "deepseek_v4")).findings if each.code == "V140"]
    said = "vmlx 1.6.81 writes over the entries under module paths; jang 2.5.50 does not"
    assert found
    assert all(said in each.notes and "--fix-config" in each.hint for each in found)


@pytest.mark.parametrize("path", ["/Users/somebody/source", "~/source", "C:\\source", "D:/source"])
def test_a_path_of_the_builders_machine_is_told(sound: dict[str, Path], tmp_path: Path, path: str) -> None:
    bundle = Path(shutil.copytree(sound["jangtq2"], tmp_path / "bundle"))
    jang(lambda data: data.update(source_model=path))(bundle)
    edit(bundle, "model.safetensors.index.json", lambda index: index["metadata"].update(rebundled_from=path))
    found = [(code, severity, message.split(" is ")[0]) for code, severity, message in findings(bundle)]
    assert found == [
        ("V141", "warning", "jang_config.json: source_model"),
        ("V141", "warning", "model.safetensors.index.json: rebundled_from"),
    ]


def test_a_bundle_as_the_converter_writes_it_has_warnings_alone(sound: dict[str, Path], tmp_path: Path) -> None:
    """No twin section, no group size in jang_config.json: both do no harm, since jang's loader reads MXTQ bundles."""
    bundle = Path(shutil.copytree(sound["jangtq2"], tmp_path / "bundle"))
    config(lambda data: data.pop("quantization_config"))(bundle)
    jang(lambda data: [data["quantization"].pop(key) for key in ("bits", "group_size")])(bundle)
    assert {(code, severity) for code, severity, _ in findings(bundle)} == {("V121", "warning"), ("V127", "warning")}


def test_two_widths_in_a_layer_are_a_warning(tiny: Checkpoint, tmp_path: Path) -> None:
    rule = "rules:\n  - id: down\n    match: {role: routed-expert, projection: down}\n    format: {mxtq: {bits: 4}}\n"
    text = changed("format: {affine: {bits: 4, group-size: 32}}", "format: {mxtq: {bits: 2}}")
    recipe = parse_recipe(changed("rules:\n", rule, text), "recipe.yaml")
    found = findings(build(make_plan(recipe, tiny), tiny, tmp_path / "bundle"))
    assert [(code, severity) for code, severity, _ in found] == [("V138", "warning")] * 4
    assert found[0][2] == "layer 0 has MXTQ projections of 2 and 4 bits"
