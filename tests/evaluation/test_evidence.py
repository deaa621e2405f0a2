"""Evidence travels: from quality.json into manifest, card, report, recipes, and never without what was measured."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dsv4recipe import allocate, build, load_recipe, make_plan, open_checkpoint, report, verify
from dsv4recipe.bundle.manifest import manifest_problem, read_manifest
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.cli.main import run
from dsv4recipe.errors import RecipeError
from dsv4recipe.evaluation.bound import weights_digest
from dsv4recipe.evaluation.evidence import recipe_digest
from dsv4recipe.evaluation.shipped import shipped_evidence
from dsv4recipe.evaluation.yardstick import YARDSTICK as NAME
from dsv4recipe.evaluation.yardstick import measured
from dsv4recipe.plan.model import Plan
from dsv4recipe.recipe.shipped import shipped_recipes
from dsv4recipe.recipe.show import recipe_data
from tests.measuring import YARDSTICK

Write = Callable[..., Path]


@pytest.fixture(scope="module")
def yardstick() -> Checkpoint:
    return open_checkpoint(YARDSTICK / "checkpoint")


@pytest.fixture
def written(tmp_path: Path) -> Write:
    """Writes an evidence file as `evaluate` does, for a plan of a checkpoint."""

    def write(plan: Plan, checkpoint: Checkpoint, name: str = "quality.json", **changed: Any) -> Path:
        a = {"kind": "recipe", "name": "q4q8", "plan": plan.digest, "recipe_digest": recipe_digest(plan.recipe)}
        digests = {"header_digest": checkpoint.folder.header_digest, "weights_digest": weights_digest(checkpoint)}
        data = {
            "format_version": 2, "kind": "quality", "a": a, "source": {"name": "my-model", **digests},
            "text": {"files": [{"name": "mine.txt", "sha256": "0"}]}, "tokens": 1234, "nll": 2.0, "perplexity": 7.4,
            "same_top": 0.97, "delta_nll": 0.01, "kl": {"mean": 0.0137, "interval": [0.01, 0.02]},
        }  # fmt: skip
        path = tmp_path / name
        path.write_text(json.dumps(data | changed), encoding="utf-8")
        return path

    return write


def code_of(call: Callable[[], object]) -> str:
    with pytest.raises(RecipeError) as caught:
        call()
    return caught.value.diagnostics[0].code


def test_a_build_keeps_the_evidence_and_its_card_says_what_was_measured(
    tiny: Checkpoint, written: Write, tmp_path: Path
) -> None:
    plan = make_plan(load_recipe("q4q8"), tiny)
    evidence = written(plan, tiny)
    bundle = build(plan, tiny, tmp_path / "bundle", evidence=evidence)
    card = (bundle / "README.md").read_text(encoding="utf-8")
    said = (
        "KL 0.0137 (95 %: 0.01 to 0.02), ΔNLL +0.01, same top token 97.0 %, to the source, on 1,234 tokens of mine.txt"
    )
    assert f"* Quality: {said}; measured on the model itself" in card
    held = read_manifest(bundle)
    assert held is not None
    assert held["format_version"] == 2
    assert held["evidence"] == json.loads(evidence.read_text())
    assert not manifest_problem(bundle)
    assert verify(bundle).ok
    assert build(plan, tiny, bundle, evidence=evidence) == bundle
    assert f"{said}; measured on the model itself" in report(bundle).html
    plain = build(plan, tiny, tmp_path / "plain")
    assert "* Quality: not measured." in (plain / "README.md").read_text(encoding="utf-8")
    assert (read_manifest(plain) or {})["format_version"] == 1
    assert code_of(lambda: build(plan, tiny, plain, evidence=evidence)) == "B034"


def test_evidence_of_the_recipe_on_another_checkpoint_is_shown_as_that(
    tiny: Checkpoint, yardstick: Checkpoint, written: Write, tmp_path: Path
) -> None:
    there = make_plan(load_recipe("q4q8"), yardstick)
    bundle = build("q4q8", tiny, tmp_path / "bundle", evidence=written(there, yardstick))
    assert f"measured on {NAME}, by the reference implementation, and not on this model." in (
        bundle / "README.md"
    ).read_text(encoding="utf-8")


def test_evidence_of_another_recipe_or_other_weights_is_refused(
    tiny: Checkpoint, written: Write, tmp_path: Path
) -> None:
    plan = make_plan(load_recipe("q4q8"), tiny)
    others = {"name": "my-model", "header_digest": tiny.folder.header_digest, "weights_digest": "another model's"}
    for file, expected in (
        (written(make_plan(load_recipe("jangtq2"), tiny), tiny, "other.json"), "M031"),
        (written(plan, tiny, "tuned.json", source=others), "M031"),
        (written(plan, tiny, "broken.json", kl={}), "M030"),
    ):
        assert code_of(lambda: build(plan, tiny, tmp_path / "bundle", evidence=file)) == expected  # noqa: B023
        assert not list(tmp_path.glob("bundle*"))


def test_a_gguf_file_keeps_its_evidence_in_its_manifest(tiny_256: Checkpoint, written: Write, tmp_path: Path) -> None:
    recipe = load_recipe("ds4-q4")
    recipe = replace(recipe, target=replace(recipe.target, runtime="llama.cpp", backends=()))
    plan = make_plan(recipe, tiny_256)
    bundle = build(plan, tiny_256, tmp_path / "bundle.gguf", evidence=written(plan, tiny_256))
    assert (read_manifest(bundle) or {})["evidence"]["kl"]["mean"] == 0.0137


def test_a_recipe_is_the_same_where_only_words_differ() -> None:
    data = recipe_data(load_recipe("q4q8"))
    renamed = dict(data) | {"name": "mine", "summary": "other words"}
    assert recipe_digest(renamed) == recipe_digest(data)
    changed = json.loads(json.dumps(data).replace('"group-size": 32', '"group-size": 64', 1))
    assert recipe_digest(changed) != recipe_digest(data)
    assert shipped_evidence(data) is not None
    assert shipped_evidence(changed | {"name": "q4q8"}) is None


def test_every_shipped_recipe_has_figures_or_a_reason(yardstick: Checkpoint) -> None:
    """The figures that ship are of the recipes as they are now, and of the yardstick as it is."""
    assert measured()["source"]["header_digest"] == yardstick.folder.header_digest
    assert measured()["source"]["weights_digest"] == weights_digest(yardstick)
    for name in shipped_recipes():
        recipe = load_recipe(name)
        evidence = shipped_evidence(recipe_data(recipe))
        if evidence is None:
            assert measured()["not"][name]
            with pytest.raises(RecipeError):
                make_plan(recipe, yardstick)
        elif not evidence.data["how"]:
            assert evidence.plan == make_plan(recipe, yardstick).digest
        if evidence is not None:
            assert NAME in evidence.sentence
            assert NAME in evidence.short


def test_recipes_shows_what_was_measured_and_on_what(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["recipes"]) == 0
    shown = capsys.readouterr().out
    line = next(line for line in shown.splitlines() if line.startswith("q4q8 "))
    assert "KL 0.00243" in line
    assert f"measured on {NAME}" in shown
    assert run(["recipes", "--json"]) == 0
    rows = {row["name"]: row["quality"] for row in json.loads(capsys.readouterr().out)["recipes"]}
    assert NAME in rows["q4q8"]["on"]
    assert rows["q3-mixed-v41"]["kl"] is None
    assert "deepseek_v41" in rows["q3-mixed-v41"]["how"]


def test_the_head_of_an_allocated_recipe_names_the_loss_of_its_base(tiny: Checkpoint, written: Write) -> None:
    base = make_plan(load_recipe("q4q8"), tiny)
    shipped = allocate("q4q8", tiny, budget=base.tensor_bytes, errors="synthetic")
    assert f"q4q8: KL 0.00243 on {NAME}." in " ".join(shipped.text.replace("#", " ").split())
    own = allocate("q4q8", tiny, budget=base.tensor_bytes, errors="synthetic", evidence=written(base, tiny))
    head = " ".join(own.text.replace("#", " ").split())
    assert "q4q8: KL 0.0137 (95 %: 0.01 to 0.02)" in head
    assert "measured on the model itself" in head
    assert own.data(curve=False)["evidence"]["quality"] == own.quality


def test_a_report_of_a_recipe_shows_the_yardstick(tiny: Checkpoint) -> None:
    html = report("q4q8", checkpoint=tiny).html
    assert f"measured on {NAME}, by the reference implementation, and not on this model" in html
    changed = replace(load_recipe("q4q8"), rules=load_recipe("jangtq2").rules)
    assert NAME not in report(changed, checkpoint=tiny).html
