"""The help of a refusal is what was meant: following it gives a recipe that is taken."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from dsv4recipe import RecipeError
from dsv4recipe.bundle.observe import observe
from dsv4recipe.bundle.open import open_bundle
from dsv4recipe.errors import Diagnostic
from dsv4recipe.plan.model import Plan
from dsv4recipe.recipe.load import parse_recipe
from tests.recipes import changed, with_first_rule

FOUR_BITS = "format: {affine: {bits: 4, group-size: 32}}"


def refused(action: Callable[[], object]) -> Diagnostic:
    with pytest.raises(RecipeError) as caught:
        action()
    return caught.value.diagnostics[0]


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("q4_k", "{ggml: {type: Q4_K, importance: none}}"),
        ("Q4_K_M", "{ggml: {type: Q4_K, importance: none}}"),
        ("q8_0", "{ggml: {type: Q8_0}}"),
        ("iq2-xxs", "{ggml: {type: IQ2_XXS, importance: ones}}"),
        ("mxfp4", "{mxfp4: {}}"),
        ("fp8", "{mxfp8: {}}"),
        ("int4", "{affine: {bits: 4, group-size: 32}}"),
        ("8bit", "{affine: {bits: 8, group-size: 32}}"),
        ("affine", ""),
        ("mxtq", ""),
    ],
)
def test_a_format_by_another_name(word: str, meant: str) -> None:
    for written in (f"format: {word}", f"format: {{{word}: {{}}}}"):
        if written == f"format: {{{word}: {{}}}}" and word in ("affine", "mxtq", "mxfp4"):
            continue
        found = refused(lambda text=written: parse_recipe(changed(FOUR_BITS, text), "recipe.yaml"))
        assert found.hint.startswith(f"write {meant}")
        parse_recipe(changed(FOUR_BITS, f"format: {found.hint.removeprefix('write ')}"), "recipe.yaml")


def test_a_plain_type_is_kept_and_no_format() -> None:
    found = refused(lambda: parse_recipe(changed(FOUR_BITS, "format: bf16"), "recipe.yaml"))
    assert found.hint == "write keep: bfloat16 instead of format"
    parse_recipe(changed(FOUR_BITS, "keep: bfloat16"), "recipe.yaml")


@pytest.mark.parametrize(
    ("word", "roles"),
    [
        ("expert", ["routed-expert", "shared-expert"]),
        ("experts", ["routed-expert", "shared-expert"]),
        ("mlp", ["routed-expert", "shared-expert"]),
        ("attn", ["attention"]),
        ("gate", ["router"]),
        ("norms", ["norm"]),
        ("routed-experts", ["routed-expert"]),
    ],
)
def test_a_role_by_another_name(word: str, roles: list[str]) -> None:
    found = refused(lambda: parse_recipe(changed("role: routed-expert", f"role: {word}"), "recipe.yaml"))
    assert re.findall(r'"([\w-]+)"', found.hint) == roles


def test_a_typo_under_mtp_drop_is_mended_in_the_layers_that_are_left(planned: Callable[[str], Plan]) -> None:
    dropped = changed("mtp: keep", "mtp: drop")
    rule = "  - id: typo\n    match: {tensor: '*.e_norm.weight'}\n    keep: float16\n"
    found = refused(lambda: planned(with_first_rule(rule, dropped)))
    assert found.code == "P003"
    assert "mtp" not in found.hint
    rule = "  - id: stages\n    match: {tensor: 'mtp.*.enorm.weight'}\n    keep: float16\n"
    found = refused(lambda: planned(with_first_rule(rule, dropped)))
    assert found.notes[0] == "it matches 1 tensors of MTP stages, which `mtp: drop` leaves out"
    assert found.hint == "add `optional: true` to the rule if this is intended"
    planned(with_first_rule(rule.replace("keep:", "optional: true\n    keep:"), dropped))


def test_a_folder_is_held_against_targets_of_folders_alone(spoiled: Path) -> None:
    for name in ("dsv4recipe.manifest.json", "jang_config.json"):
        (spoiled / name).unlink()
    for prefer in ("", "llama.cpp", "ds4"):
        seen = observe(open_bundle(spoiled)[0], prefer)
        assert not {"ds4", "llama.cpp"} & {*seen.runtimes, seen.plan.target["runtime"]}
