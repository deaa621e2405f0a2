"""Bundles for tests of targets: another runtime for a recipe, and full-size bundles whose tensors are holes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from dsv4recipe import load_recipe
from dsv4recipe.builder.side import side_files
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.plan.model import Plan
from dsv4recipe.plan.shards import shard_header, shard_modules
from dsv4recipe.recipe.model import Recipe
from dsv4recipe.recipe.shipped import shipped_recipes
from dsv4recipe.targets import TARGETS

MLX_TARGETS = sorted({target.name for target in TARGETS if target.container == "safetensors"})
"""Every runtime of shards, whatever family it runs."""
MLX_RECIPES = [name for name in shipped_recipes() if load_recipe(name).target.runtime in MLX_TARGETS]


def moved(name: str, runtime: str) -> Recipe:
    """A shipped recipe with `target.runtime` changed."""
    recipe = load_recipe(name)
    return replace(recipe, target=replace(recipe.target, runtime=runtime))


def hollow_bundle(plan: Plan, checkpoint: Checkpoint, out: Path) -> Path:
    """The plan's bundle with every header and side file, and holes for data: any size, no disk."""
    out.mkdir()
    for shard in plan.shards:
        with (out / shard.file).open("wb") as stream:
            stream.write(shard_header(shard_modules(shard, plan.by_disk)))
            stream.truncate(shard.file_bytes)
    for name, content in side_files(plan, checkpoint).items():
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).write_bytes(content)
    return out
