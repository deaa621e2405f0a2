"""`draw`: one plausible source and a recipe for it, by chance."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from dsv4recipe import load_recipe
from dsv4recipe.recipe.model import Recipe
from tests.inputs.drawn import numbers, storage
from tests.inputs.drawn.model import Drawn
from tests.inputs.sources import Tensors, read_tensors

RECIPES = ("q4q8", "q4q8-per-expert", "q3-mixed", "native", "native-dspark", "universal", "jangtq2", "jangtq2-k")
RUNTIMES = ("vmlx", "mlx-vlm", "rapid-mlx", "omlx", "mlx-lm-fork", "universal")
GGUF = ("ds4-q4", "ds4-mtp")
V41 = "q3-mixed-v41"
RELEASES = ("v4-flash", "v4-flash", "v4-flash-0731", "v4-pro")
Source = Callable[[str, str], Path]
"""Release and preset → a sound checkpoint, made once."""

load = lru_cache(load_recipe)
"""Recipes are frozen; each is read once."""


@lru_cache(maxsize=4)
def _tensors(root: Path) -> Tensors:
    return read_tensors(root)


def draw(rng: random.Random, source: Source, folder: Path) -> tuple[Drawn, Recipe]:
    """Writes a source to `folder`. Returns it with a recipe that may or may not fit."""
    recipe = _recipe(rng)
    release = "v4.1-flash" if recipe.name == V41 else rng.choice(RELEASES)
    base = source(release, "tiny-256" if recipe.target.runtime == "llama.cpp" else "tiny")
    shutil.copytree(base, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    config = json.loads((base / "config.json").read_text(encoding="utf-8"))
    drawn = Drawn(rng, base, folder, dict(_tensors(base)), config)
    for change in (numbers.control, numbers.stages, numbers.pruned, numbers.table, numbers.zeros, numbers.config):
        change(drawn)
    drawn.plain = dict(drawn.tensors)
    for change in (storage.stored, storage.named, storage.written):
        change(drawn)
    (folder / "config.json").write_text(json.dumps(drawn.config), encoding="utf-8")
    storage.beside(drawn)
    drawn.say(
        f"{base.name}, {recipe.name} for {recipe.target.runtime}, mtp {recipe.target.mtp}, half {recipe.target.half}"
    )
    return drawn, recipe


def _recipe(rng: random.Random) -> Recipe:
    if rng.random() < 0.08:
        return load(V41)
    if rng.random() < 0.12:
        recipe = load(rng.choice(GGUF))
        return replace(recipe, target=replace(recipe.target, runtime="llama.cpp", backends=()))
    recipe = load(rng.choice(RECIPES))
    target = recipe.target
    if rng.random() < 0.25:
        target = replace(target, runtime=rng.choice(RUNTIMES))
    if rng.random() < 0.4:
        target = replace(target, mtp=rng.choice(("keep", "drop")))
    if rng.random() < 0.05:
        target = replace(target, half=rng.choice(("float16", "bfloat16")))
    if rng.random() < 0.15:
        target = replace(target, experts=rng.choice(("stacked", "per-expert")))
    return replace(recipe, target=target)
