"""Floor 1, recipe. Holds a YAML document as frozen nodes, each with its place in the text. This module is pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, NoReturn

from dsv4recipe.errors import Diagnostic, Problems, RecipeError, Where

MAX_ERRORS = 100
"""How many errors of one recipe are shown. A file with more is probably not a recipe at all."""


@dataclass(frozen=True, slots=True)
class Scalar:
    """A string, number, boolean or null of the YAML 1.2 core schema. `raw` is its text without quotes."""

    value: str | int | float | bool | None
    raw: str
    where: Where


@dataclass(frozen=True, slots=True)
class Items:
    """A sequence."""

    items: tuple[Node, ...]
    where: Where


@dataclass(frozen=True, slots=True)
class Entry:
    """One key of a mapping with its value."""

    key: str
    where: Where
    node: Node


@dataclass(frozen=True, slots=True)
class Table:
    """A mapping. Its keys are text, and all are different."""

    entries: tuple[Entry, ...]
    where: Where

    def entry(self, key: str) -> Entry | None:
        return next((entry for entry in self.entries if entry.key == key), None)

    def get(self, key: str) -> Node | None:
        found = self.entry(key)
        return found.node if found else None


Node = Scalar | Items | Table


def plain(node: Node) -> Any:
    """Returns the node as JSON-like data: dict, list, str, int, float, bool, None."""
    if isinstance(node, Table):
        return {entry.key: plain(entry.node) for entry in node.entries}
    if isinstance(node, Items):
        return [plain(item) for item in node.items]
    return node.value


def as_list(node: Node | None) -> tuple[Node, ...]:
    """Returns the values of a field that takes one value or a list; () if it is absent."""
    if node is None:
        return ()
    return node.items if isinstance(node, Items) else (node,)


def find(node: Node, path: Iterable[str | int]) -> tuple[Node, Where | None]:
    """Returns the node at a path of keys and indices, and the place of the last key on the way to it."""
    key: Where | None = None
    for step in path:
        if isinstance(node, Table):
            entry = node.entry(str(step))
            if entry is None:
                break
            node, key = entry.node, entry.where
        elif isinstance(node, Items) and isinstance(step, int):
            node, key = node.items[step], None
    return node, key


def places(node: Node, prefix: str = "") -> Iterator[tuple[str, Where]]:
    """Yields (dotted name, place) of every value below a node: "match.role", "match.role.0", "format.affine.bits"."""
    if isinstance(node, Table):
        for entry in node.entries:
            name = prefix + entry.key
            yield name, (entry.where if isinstance(entry.node, Table) else entry.node.where)
            yield from places(entry.node, name + ".")
    elif isinstance(node, Items):
        for number, item in enumerate(node.items):
            yield f"{prefix}{number}", item.where
            yield from places(item, f"{prefix}{number}.")


def short(text: str, limit: int = 60) -> str:
    """Returns user text for a message: on one line, cut at `limit` characters."""
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def refuse(problems: Problems, chain: tuple[str, ...] = ()) -> None:
    """Raises all errors found, at most MAX_ERRORS, each with the chain of `extends` that led to its file.

    A value of the wrong kind (R007, R022) is not checked further, and each place gets each code only once.
    """
    errors = problems.errors
    kind = {found.where: found.code for found in reversed(errors) if found.code in ("R007", "R022")}
    first: dict[tuple[Where, str], Diagnostic] = {}
    for found in errors:
        if kind.get(found.where, found.code) == found.code:
            first.setdefault((found.where, found.code), found)
    if not first:
        return
    shown = [replace(found, notes=(*found.notes, *chain)) for found in list(first.values())[:MAX_ERRORS]]
    if len(first) > MAX_ERRORS:
        shown.append(
            Diagnostic("R009", f"there are more than {MAX_ERRORS} errors; the others are not shown", shown[-1].where)
        )
    raise RecipeError.of(shown)


def fail(code: str, message: str, where: Where, hint: str = "", notes: tuple[str, ...] = ()) -> NoReturn:
    raise RecipeError(code, message, where, hint, notes)
