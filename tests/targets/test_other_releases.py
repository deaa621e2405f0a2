"""V4-Flash-0731 and V4.1 at tiny size in the runtimes that have them: strict load, forward pass, drafter, image tower.

mlx-lm's own class refuses Engram, so it gets the same V4.1 without: the source it loads by itself is the judge there.
"""

from __future__ import annotations

import importlib.util
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from dsv4recipe import RecipeError, build, load_recipe, make_plan, open_checkpoint
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.checkpoint.synth import synthesize_config
from dsv4recipe.checkpoint.synth_config import synth_config
from dsv4recipe.errors import Diagnostic
from dsv4recipe.recipe.model import Recipe
from dsv4recipe.runtimes import get, probes
from dsv4recipe.verifier.contract.check import check_contract

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "family.md").read_text(encoding="utf-8")
TEXT_ONLY = PAGE.split("```yaml\n")[1].split("```")[0]
"""The recipe for mlx-lm that docs/reference/family.md shows."""
TOKENS = 136
CHILD = Path(__file__).with_name("release_child.py")
VARIABLE = {name: probes()[name].variable for name in ("mlx-vlm", "rapid-mlx")}

has_mlx_lm = pytest.mark.skipif(importlib.util.find_spec("mlx_lm") is None, reason="mlx-lm is not installed")

Sources = Callable[[str], Checkpoint]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Sources:
    """A tiny checkpoint of a release; "v4.1-plain" is V4.1 without Engram."""

    @cache
    def made(release: str) -> Checkpoint:
        config = synth_config(release.replace("plain", "flash"), "tiny")
        if release == "v4.1-plain":
            config["text_config"] |= {"engram_layer_ids": [], "engram_num_embeddings": []}
        return open_checkpoint(synthesize_config(tmp_path_factory.mktemp("source") / release, config).root)

    return made


def child(runtime: str, bundle: Path) -> Any:
    variable = VARIABLE.get(runtime, "")
    if variable and variable not in os.environ:
        pytest.skip(f'{variable} is not set: eval "$(sh scripts/runtimes)"')
    command = [os.environ.get(variable, sys.executable), str(CHILD), runtime, str(bundle), str(TOKENS)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode == 0, ended.stderr[-2000:]
    return json.loads(ended.stdout.splitlines()[-1])


def cosine(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True)) / math.hypot(*a) / math.hypot(*b)


def recipe_of(text: str, folder: Path) -> Recipe:
    (folder / "recipe.yaml").write_text(text)
    return load_recipe(folder / "recipe.yaml")


@pytest.fixture(scope="module")
def run(source: Sources, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str, str], Any]:
    """What a runtime says of the bundle that a recipe makes of a release; each is built and run once."""

    @cache
    def seen(release: str, name: str, runtime: str) -> Any:
        recipe = recipe_of(TEXT_ONLY, tmp_path_factory.mktemp("recipe")) if name == "text" else load_recipe(name)
        plan = make_plan(recipe, source(release))
        out = build(plan, source(release), tmp_path_factory.mktemp("bundle") / name)
        assert check_contract(out, get(plan.target["runtime"], plan.source.family)).findings == ()
        return child(runtime, out)

    return seen


RUNS = [
    ("v4-flash-0731", "native-dspark", "rapid-mlx"),
    ("v4-flash-0731", "q4q8", "jang-strict"),
    ("v4.1-flash", "native", "mlx-vlm"),
    ("v4.1-flash", "q3-mixed-v41", "mlx-vlm"),
    pytest.param("v4.1-plain", "text", "mlx-lm", marks=has_mlx_lm),
]


@pytest.mark.parametrize(("release", "recipe", "runtime"), RUNS)
def test_a_tiny_bundle_loads_strictly_and_runs(
    run: Callable[[str, str, str], Any], release: str, recipe: str, runtime: str
) -> None:
    seen = run(release, recipe, runtime)
    assert (seen["strict"], seen["missing"], seen["unexpected"], seen["misshapen"]) == (True, [], [], [])
    assert seen["finite"]
    assert all(0.5 < max(abs(value) for value in row) < 100 for row in seen["logits"])


def test_rapid_mlx_drafts_with_the_stages_of_the_bundle(run: Callable[[str, str, str], Any]) -> None:
    drafted = run("v4-flash-0731", "native-dspark", "rapid-mlx")["drafted"]
    assert (drafted["stages"], drafted["finite"], len(drafted["tokens"])) == (3, True, 6)


@pytest.mark.parametrize("recipe", ["native", "q3-mixed-v41"])
def test_mlx_vlm_sees_images_and_looks_up_engrams(run: Callable[[str, str, str], Any], recipe: str) -> None:
    seen = run("v4.1-flash", recipe, "mlx-vlm")
    assert (seen["image"], seen["hashed"]) == (True, True)


@has_mlx_lm
def test_mlx_lm_gets_from_the_bundle_what_it_gets_from_the_source(
    run: Callable[[str, str, str], Any], source: Sources
) -> None:
    """mlx-lm packs FP8 in 32×32 tiles and FP4 itself when it loads the source; the bundle holds the same."""
    own = child("mlx-lm", source("v4.1-plain").folder.root)
    assert run("v4.1-plain", "text", "mlx-lm")["logits"] == own["logits"]


@has_mlx_lm
def test_two_implementations_of_v41_agree(run: Callable[[str, str, str], Any]) -> None:
    """As far as random weights let them: near ties send tokens to other experts, and the second token is another."""
    first, other = run("v4.1-plain", "text", "mlx-lm"), run("v4.1-plain", "native", "mlx-vlm")
    assert cosine(first["logits"][0], other["logits"][0]) > 0.9


def test_what_mlx_lm_cannot_run_is_said_with_the_reason(source: Sources, tmp_path: Path) -> None:
    def refusal(text: str, checkpoint: Checkpoint) -> list[Diagnostic]:
        with pytest.raises(RecipeError) as caught:
            make_plan(recipe_of(text, tmp_path), checkpoint)
        return list(caught.value.diagnostics)

    (engram,) = refusal(TEXT_ONLY, source("v4.1-flash"))
    assert (engram.code, engram.hint) == ("T007", "use a runtime that has it: mlx-vlm")
    assert "it has no Engram" in engram.message
    assert set(engram.notes) == {f"layers.1.engram.{n}" for n in ("embed.weight", "wkv.weight", "q_weight", "k_weight")}
    (vision,) = refusal(TEXT_ONLY[: TEXT_ONLY.index("rules:")], source("v4.1-plain"))
    assert (vision.code, len(vision.notes)) == ("T017", 32)
    assert '`match: {block: vision}` and `match: {tensor: "*.gate.bias_vl"}`' in vision.hint
    kept = TEXT_ONLY.replace("native\n", "native\nsource: {model: a/b, family: [deepseek_v4, deepseek_v41]}\n")
    (family,) = refusal(kept, source("v4-flash-0731"))
    assert (family.code, "mlx-lm can run deepseek_v41" in family.hint) == ("T003", True)


def test_rapid_mlx_refuses_a_classic_stage(source: Sources, tiny: Checkpoint) -> None:
    with pytest.raises(RecipeError) as caught:
        make_plan(load_recipe("native-dspark"), tiny)
    assert [d.message for d in caught.value.diagnostics] == [
        "rapid-mlx runs dspark MTP stages; those of this checkpoint are classic"
    ]
