"""Advice: what a recipe's author is told of a plan that nothing refuses, and how it is silenced."""

from __future__ import annotations

import pytest

from dsv4recipe import RecipeError, make_plan
from dsv4recipe.advice.advise import advise
from dsv4recipe.advice.fit import fit, machine_said
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.checkpoint.layout import open_release
from dsv4recipe.cli.main import run
from dsv4recipe.errors import Diagnostic
from dsv4recipe.recipe.load import parse_recipe
from tests.recipes import SOUND, changed, with_first_rule

MAC_192 = """\
recipe: 1
name: my-mac
summary: 4-bit experts for a 192 GB Mac.
license: mit
source: {model: deepseek-ai/DeepSeek-V4-Flash, family: deepseek_v4}
target: {runtime: mlx-vlm, experts: stacked, mtp: drop, shard-size: 5GiB, half: bfloat16}
rules:
  - id: experts
    match: {role: routed-expert}
    format: {affine: {bits: 4, group-size: 64}}
  - id: control
    match: {role: [norm, router, router-bias, hyper-connection, attention-sink, position-bias, hash-table]}
    keep: source
  - id: rest
    match: {role: [attention, compressor, indexer, shared-expert, embedding, lm-head]}
    format: {affine: {bits: 6, group-size: 64}}
"""


@pytest.fixture(scope="module")
def flash() -> Checkpoint:
    return open_release("v4-flash")


def advice(text: str, checkpoint: Checkpoint) -> dict[str, Diagnostic]:
    recipe = parse_recipe(text, "recipe.yaml")
    return {each.code: each for each in advise(recipe, make_plan(recipe, checkpoint), checkpoint)}


def test_192_gb_example_gets_both_advices(flash: Checkpoint) -> None:
    recipe = parse_recipe(MAC_192, "recipe.yaml")
    plan = make_plan(recipe, flash)
    assert machine_said(recipe) == "192GB-mac"
    verdict = fit(plan, flash, "192GB-mac")
    assert not verdict.fits
    assert verdict.room.bytes == 153_314_000_896
    assert verdict.weights == plan.tensor_bytes
    assert "8," in verdict.words()
    exact = advice(MAC_192, flash)["L001"]
    assert exact.where.line == 10
    assert "mxfp4" in exact.hint


def test_the_exact_format_that_the_advice_names_ends_the_advice(flash: Checkpoint) -> None:
    exact = changed("format: {affine: {bits: 4, group-size: 64}}", "format: {mxfp4: {}}", MAC_192)
    assert "L001" not in advice(exact, flash)


def test_a_plan_that_nearly_fits_a_mac_is_told(flash: Checkpoint) -> None:
    unnamed = changed("4-bit experts for a 192 GB Mac.", "4-bit experts.", MAC_192)
    assert "192GB-mac" in advice(unnamed, flash)["L003"].message


def test_stages_that_the_runtime_does_not_load_are_named(tiny: Checkpoint) -> None:
    assert "prediction stages" in advice(SOUND, tiny)["L006"].message
    assert "L006" not in advice(changed("mtp: keep", "mtp: drop", SOUND), tiny)


def test_copies_wider_than_the_source_are_named(tiny: Checkpoint) -> None:
    assert "L002" not in advice(SOUND, tiny)
    wide = with_first_rule("  - {id: wide, match: {role: router}, keep: float32}\n")
    assert "BF16" in advice(wide, tiny)["L002"].message


def test_allow_with_a_note_silences_one_rule(tiny: Checkpoint) -> None:
    experts = "format: {affine: {bits: 4, group-size: 32}}"
    assert "L001" in advice(SOUND, tiny)
    assert "L001" not in advice(
        changed(experts, experts + "\n    allow: [L001]\n    note: jang wants it so", SOUND), tiny
    )


def test_allow_in_another_rule_silences_nothing(tiny: Checkpoint) -> None:
    other = changed("keep: source", "keep: source\n    allow: [L001]\n    note: they are small", SOUND)
    assert "L001" in advice(other, tiny)


def test_strict_plan_refuses_what_gets_advice(capsys: pytest.CaptureFixture[str], tiny_source: object) -> None:
    assert run(["plan", "q4q8", "--source", str(tiny_source)]) == 0
    assert "advice[L001]" in capsys.readouterr().err
    assert run(["plan", "q4q8", "--source", str(tiny_source), "--strict"]) == 1
    assert "error[L001]" in capsys.readouterr().err


def test_unknown_machine_is_refused(tiny: Checkpoint) -> None:
    recipe = parse_recipe(SOUND, "recipe.yaml")
    with pytest.raises(RecipeError, match="toaster"):
        fit(make_plan(recipe, tiny), tiny, "toaster")


def test_evidence_of_another_plan_is_named(tiny: Checkpoint) -> None:
    recipe = parse_recipe(SOUND, "recipe.yaml")
    plan = make_plan(recipe, tiny)
    assert "L007" not in {each.code for each in advise(recipe, plan, tiny, plan.digest)}
    (old,) = [each for each in advise(recipe, plan, tiny, "0" * 64) if each.code == "L007"]
    assert plan.digest[:12] in old.message


def test_optional_layers_beyond_the_model_are_named(tiny: Checkpoint) -> None:
    rule = "  - {id: late, match: {role: routed-expert, layers: [0, 60]}, format: {mxfp4: {}}, optional: true}\n"
    assert "names layers" in advice(with_first_rule(rule), tiny)["L008"].message
    noted = changed("optional: true}", "optional: true, note: also for V4-Pro}", with_first_rule(rule))
    assert "L008" not in advice(noted, tiny)


def test_embedding_and_head_below_what_was_measured_are_named(flash: Checkpoint) -> None:
    assert "embedding and lm-head" in advice(MAC_192, flash)["L009"].message
    eight = changed("bits: 6", "bits: 8", MAC_192)
    assert "L009" not in advice(eight, flash)
