"""Floor 4, verifier (child side). Lists the leaf modules of a model by path. This module is pure."""

from __future__ import annotations

from typing import Any

from mlx.nn.layers.base import Module
from mlx.utils import tree_flatten


def leaf_modules(model: Any) -> list[tuple[str, Any]]:
    """Returns (path, module) of every module without children, in tree order, list positions as numbers."""
    flat: Any = tree_flatten(model.leaf_modules(), is_leaf=lambda m: isinstance(m, Module))
    return list(flat)


def parameter_names(model: Any) -> set[str]:
    """Returns the dotted names of all parameters."""
    flat: Any = tree_flatten(model.parameters())
    return {name for name, _ in flat}
