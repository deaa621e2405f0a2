"""dsv4recipe: a declarative quantization recipe compiler for DeepSeek-V4 checkpoints.

The whole public Python API; everything else may change. Names are loaded when first used, so that importing the
package costs nothing.

    from dsv4recipe import build, load_recipe, make_plan, open_checkpoint, verify

    checkpoint = open_checkpoint("DeepSeek-V4-Flash")
    plan = make_plan(load_recipe("q4q8"), checkpoint)
    bundle = build(plan, checkpoint, "DeepSeek-V4-Flash-Q4Q8")
    assert verify(bundle).ok
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from dsv4recipe.version import VERSION as __version__  # noqa: N811 - the name every tool looks for

if TYPE_CHECKING:
    from dsv4recipe.builder.run import build as build
    from dsv4recipe.checkpoint.graph import open_checkpoint as open_checkpoint
    from dsv4recipe.errors import RecipeError as RecipeError
    from dsv4recipe.plan.diff import diff as diff
    from dsv4recipe.plan.make import make_plan as make_plan
    from dsv4recipe.recipe.load import load_recipe as load_recipe
    from dsv4recipe.verifier.run import verify as verify

_HOME = {
    "RecipeError": "dsv4recipe.errors",
    "load_recipe": "dsv4recipe.recipe.load",
    "open_checkpoint": "dsv4recipe.checkpoint.graph",
    "make_plan": "dsv4recipe.plan.make",
    "diff": "dsv4recipe.plan.diff",
    "build": "dsv4recipe.builder.run",
    "verify": "dsv4recipe.verifier.run",
}

__all__ = ["RecipeError", "__version__", "build", "diff", "load_recipe", "make_plan", "open_checkpoint", "verify"]


def __getattr__(name: str) -> Any:
    """Loads a public name from its room."""
    if name not in _HOME:
        raise AttributeError(f"module 'dsv4recipe' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
