"""dsv4recipe: a declarative quantization recipe compiler for DeepSeek-V4 checkpoints.

This is the whole public Python API; everything else may change. Names are loaded when they are first used, so
importing the package costs nothing.

    from dsv4recipe import build, make_plan, open_checkpoint, verify

    checkpoint = open_checkpoint("DeepSeek-V4-Flash")
    plan = make_plan("q4q8", checkpoint)
    bundle = build(plan, checkpoint, "DeepSeek-V4-Flash-Q4Q8")
    assert verify(bundle).ok
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from dsv4recipe.api import PUBLIC
from dsv4recipe.version import VERSION as __version__  # noqa: N811 - the name every tool looks for

if TYPE_CHECKING:
    from dsv4recipe.api.allocate import allocate as allocate
    from dsv4recipe.api.ask import ask as ask
    from dsv4recipe.api.build import build as build
    from dsv4recipe.api.calibrate import calibrate as calibrate
    from dsv4recipe.api.check import check as check
    from dsv4recipe.api.decompile import decompile as decompile
    from dsv4recipe.api.diff import diff as diff
    from dsv4recipe.api.evaluate import evaluate as evaluate
    from dsv4recipe.api.explain import explain as explain
    from dsv4recipe.api.inspect import inspect as inspect
    from dsv4recipe.api.load_recipe import load_recipe as load_recipe
    from dsv4recipe.api.lock import lock as lock
    from dsv4recipe.api.make_plan import make_plan as make_plan
    from dsv4recipe.api.open_checkpoint import open_checkpoint as open_checkpoint
    from dsv4recipe.api.push import push as push
    from dsv4recipe.api.report import report as report
    from dsv4recipe.api.verify import verify as verify
    from dsv4recipe.errors import RecipeError as RecipeError

__all__ = [  # noqa: PLE0604 - names of the table
    "__version__",
    *PUBLIC,
]


def __getattr__(name: str) -> Any:
    """Loads a public name from its module."""
    if name not in PUBLIC:
        raise AttributeError(f"module 'dsv4recipe' has no attribute {name!r}")
    return getattr(import_module(PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
