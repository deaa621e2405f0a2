"""GGUF files in the real engines, where these are named: llama.cpp by DSV4RECIPE_LLAMA_CPP_PYTHON (an interpreter that
has llama-cpp-python: scripts/llama-cpp makes one), ds4 by DS4_BIN (a binary that the user has built)."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from dsv4recipe import build, load_recipe, make_plan
from dsv4recipe.builder.hollow import build_headers
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.recipe.load import parse_recipe
from dsv4recipe.recipe.parents import read_parent
from tests.gguf.recipes import for_llama_cpp, text_of

LLAMA = os.environ.get("DSV4RECIPE_LLAMA_CPP_PYTHON", "")
DS4 = os.environ.get("DS4_BIN", "")
CHILD = Path(__file__).parent / "llama_child.py"
TOKENS = [0, *range(7, 46)]

needs_llama = pytest.mark.skipif(not LLAMA, reason="DSV4RECIPE_LLAMA_CPP_PYTHON names no interpreter")
needs_ds4 = pytest.mark.skipif(not DS4, reason="DS4_BIN names no ds4 binary")


def child(*arguments: str) -> str:
    return subprocess.run([LLAMA, str(CHILD), *arguments], capture_output=True, text=True, check=True).stdout


def logits(checkpoint: Checkpoint, name: str, out: Path) -> np.ndarray:
    """float32 [tokens, vocabulary] that llama.cpp computes on the CPU from the file of a recipe."""
    if name == "f16-experts":
        text = text_of("ds4-q4").replace("runtime: ds4", "runtime: llama.cpp").replace("  backends: [metal]\n", "")
        recipe = parse_recipe(text.replace("type: Q4_K, importance: none", "type: F16"), "f16.yaml", read_parent)
    else:
        recipe = for_llama_cpp(name)
    file = build(make_plan(recipe, checkpoint), checkpoint, out / f"{name}.gguf")
    child("logits", str(file), str(out / f"{name}.npy"), *map(str, TOKENS))
    return np.asarray(np.load(out / f"{name}.npy"))


@needs_llama
def test_tiny_files_run_in_llama_cpp(tiny_256: Checkpoint, tmp_path: Path) -> None:
    """On random weights; docs/how-to/gguf.md has the correlations that were measured."""
    exact = logits(tiny_256, "f16-experts", tmp_path)
    assert np.isfinite(exact).all()
    assert exact.std() > 0
    for name, least in (("ds4-q2", 0.75), ("ds4-q4", 0.97)):
        found = logits(tiny_256, name, tmp_path)
        assert np.isfinite(found).all()
        correlation = np.corrcoef(found.ravel(), exact.ravel())[0, 1]
        print(f"{name}: logits correlate with those of F16 experts by {correlation:.4f}")
        assert correlation > least


@needs_llama
@pytest.mark.parametrize("name", ["ds4-q2", "ds4-q4", "ds4-mix"])
def test_llama_cpp_takes_header_and_vocabulary_of_the_full_size_dry_run(
    full: Checkpoint, tmp_path: Path, name: str
) -> None:
    file = build_headers(make_plan(load_recipe(name), full), full, tmp_path / "hollow.gguf")
    assert child("vocabulary", str(file)).split() == ["129280", "deepseek4", "43"]


@needs_ds4
def test_ds4_takes_the_full_size_dry_runs(full: Checkpoint, tmp_path: Path) -> None:
    stage = build_headers(make_plan(load_recipe("ds4-mtp"), full), full, tmp_path / "mtp.gguf")
    for name in ("ds4-q2", "ds4-q4", "ds4-mix"):
        file = build_headers(make_plan(load_recipe(name), full), full, tmp_path / f"{name}.gguf")
        for more in ([], ["--mtp", str(stage)]):
            command = [DS4, "--cpu", "--inspect", "-m", str(file), *more]
            environment = {**os.environ, "DS4_LOCK_FILE": str(tmp_path / "lock")}
            found = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
            assert found.returncode == 0, found.stderr
