"""Floor 1, recipe. Nodes and lists of words as a message says them. This module is pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dsv4recipe.recipe.nodes import Items, Node, Table, plain, short


def kind(node: Node) -> str:
    """Returns what a value is: "a list", 'the text "no"'."""
    if isinstance(node, Table):
        return "a mapping"
    if isinstance(node, Items):
        return "a list"
    if node.value is None:
        return "nothing"
    if isinstance(node.value, bool):
        return node.raw
    return f'the text "{short(node.raw)}"' if isinstance(node.value, str) else f"the number {short(node.raw)}"


def shown(node: Node) -> str:
    """Returns a value as a message quotes it."""
    value = plain(node)
    return f'"{short(value)}"' if isinstance(value, str) else short(str(value)) if value is not None else "nothing"


def and_(words: Sequence[str]) -> str:
    """Returns "a, b and c"."""
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1]


def or_(words: Sequence[str]) -> str:
    """Returns "a, b or c"."""
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " or " + words[-1]


def flow(value: Any) -> str:
    """Returns an example of the schema as a recipe writes it."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {flow(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(flow(each) for each in value) + "]"
    return str(value)


def nearest(value: Any, allowed: Sequence[Any]) -> str:
    """Returns the one or two allowed numbers next to a number, as "write 6 or 8"; "" where there is none."""
    numbers = sorted(each for each in allowed if isinstance(each, int) and not isinstance(each, bool))
    if isinstance(value, bool) or not isinstance(value, int) or not numbers:
        return ""
    below, above = [each for each in numbers if each < value], [each for each in numbers if each > value]
    return "write " + or_([str(each) for each in (*below[-1:], *above[:1])])
