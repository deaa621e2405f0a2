"""Floor 1, recipe. Lists rule ids for completion, without schema or merging. Reads recipe files, never the hub."""

from __future__ import annotations

import os
from pathlib import Path

from dsv4recipe.errors import Problems, RecipeError, Where
from dsv4recipe.paths import expanded
from dsv4recipe.recipe.nodes import Scalar, Table, as_list
from dsv4recipe.recipe.parents import is_file_reference, read_parent, read_shipped, read_text
from dsv4recipe.recipe.text import parse_text

_DEPTH = 8


def rule_ids(reference: str | Path) -> tuple[str, ...]:
    """Returns the rule ids of a recipe and then of its parents, as far as these can be read; each id once."""
    found: list[str] = []
    try:
        if isinstance(reference, Path) or is_file_reference(reference):
            file = expanded(os.fspath(reference))
            text = read_text(file, file, "R001")
        else:
            file, text = read_shipped(reference)
        for _ in range(_DEPTH):
            root = parse_text(text, file, Problems())
            rules = [rule for rule in as_list(root.get("rules")) if isinstance(rule, Table)]
            found += [_text(rule, "id") for rule in rules]
            parent = _text(root, "extends")
            if not parent or parent.startswith(("hf://", "git+")):
                break
            file, text = read_parent(parent, file, Where(file))
    except RecipeError:
        pass
    return tuple(dict.fromkeys(filter(None, found)))


def _text(table: Table, key: str) -> str:
    node = table.get(key)
    return node.value if isinstance(node, Scalar) and isinstance(node.value, str) else ""
