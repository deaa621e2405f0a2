"""Every sound bundle passes every step without a finding; every mutant is caught by the step that the table names."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from dsv4recipe import build, load_recipe, make_plan, open_checkpoint, verify
from dsv4recipe.bundle.open import open_bundle
from dsv4recipe.bundle.read import read_bundle
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.checkpoint.synth import synthesize
from dsv4recipe.recipe.load import parse_recipe
from dsv4recipe.runtimes import get
from dsv4recipe.verifier.contract.check import check_any, check_contract
from dsv4recipe.verifier.integrity import check_integrity
from dsv4recipe.verifier.numbers.check import check_numbers
from dsv4recipe.verifier.result import Step
from tests.recipes import changed
from tests.verifier.mutants import BY_NAME, MUTANTS, Mutant, page

TWO_SIZES = changed("format: {affine: {bits: 8, group-size: 32}}", "format: {affine: {bits: 4, group-size: 64}}")
MXFP4 = changed(
    "experts: stacked", "experts: per-expert", changed("{affine: {bits: 4, group-size: 32}}", "{mxfp4: {}}")
)
TEXTS = {"two-group-sizes": TWO_SIZES, "mxfp4-per-expert": MXFP4, "q4q8-other": changed("name: sound", "name: other")}

Base = Callable[[str], Path]


@pytest.fixture(scope="module")
def base(tiny: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Base:
    """The sound bundle of a mutant, built when it is first asked for."""
    root = tmp_path_factory.mktemp("bases")

    @cache
    def made(name: str) -> Path:
        if name == "downloaded":
            out = Path(shutil.copytree(made("q4q8"), root / name))
            for path in out.glob("dsv4recipe.*"):
                path.unlink()
            return out
        if name == "other-weights":
            synthesize(root / "other", seed=1)
            other = open_checkpoint(root / "other")
            return build(make_plan(load_recipe("q4q8"), other), other, root / name)
        recipe = (
            parse_recipe(TEXTS[name], "recipe.yaml") if name in TEXTS else load_recipe(name.removesuffix("-float16"))
        )
        if name.endswith("-float16"):
            recipe = replace(recipe, target=replace(recipe.target, half="float16"))
        return build(make_plan(recipe, tiny), tiny, root / name)

    return made


def step(mutant: Mutant, bundle: Path, source: Checkpoint) -> Step:
    """The step that should catch a mutant, on the spoiled bundle."""
    if mutant.step == "integrity":
        return check_integrity(bundle)
    if mutant.step == "numbers":
        return check_numbers(open_bundle(bundle)[0], read_bundle(bundle), source).step
    if mutant.code == "V132":
        return check_contract(bundle, get("omlx", "deepseek_v4"))
    return check_any(bundle).step


@pytest.mark.parametrize("name", BY_NAME)
def test_a_mutant_is_caught_by_its_step(base: Base, tiny: Checkpoint, tmp_path: Path, name: str) -> None:
    mutant = BY_NAME[name]
    bundle = Path(shutil.copytree(base(mutant.base), tmp_path / "bundle"))
    mutant.spoil(bundle)
    if mutant.step == "loaders":
        seen = {outlook.loader: outlook.verdict for outlook in check_any(bundle).outlooks}
        assert seen[mutant.words] == mutant.code, seen
        return
    found = step(mutant, bundle, tiny).findings
    said = [(f.code, " ".join((f.message, *f.notes, str(f.where)))) for f in found]
    assert [words for code, words in said if code == mutant.code and mutant.words in words], said


@pytest.mark.parametrize("name", sorted({mutant.base for mutant in MUTANTS} - {"other-weights"}))
def test_what_is_spoiled_was_sound(base: Base, tiny_source: Path, name: str) -> None:
    found = verify(base(name), tiny_source)
    codes = {finding.code for each in found.steps for finding in each.findings}
    assert found.ok
    assert codes <= {"V015"}


def test_names_are_unique_and_the_page_is_that_of_the_table() -> None:
    assert len(BY_NAME) == len(MUTANTS) >= 60
    assert (Path(__file__).parents[2] / "docs" / "evidence" / "mutants.md").read_text(encoding="utf-8") == page()
