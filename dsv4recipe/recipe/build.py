"""Floor 1, recipe. Builds a `Recipe` from checked nodes, with every default spelled out. This module is pure."""

from __future__ import annotations

from typing import Any

from dsv4recipe.formats.base import Format
from dsv4recipe.formats.registry import format_class
from dsv4recipe.recipe.extends import HEADER, Draft, rule_id
from dsv4recipe.recipe.layers import parse_layer
from dsv4recipe.recipe.model import Match, Recipe, Rule, Source, Target
from dsv4recipe.recipe.nodes import Node, Table, as_list, places, plain
from dsv4recipe.recipe.shard_size import parse_shard_size


def build(draft: Draft) -> Recipe:
    """Returns the recipe of a flattened draft that has passed the schema."""
    header = {key: entry.node for key, entry in draft.header.items()}
    source, target = plain(header["source"]), plain(header["target"])
    half = target["half"]
    rules = tuple(_rule(table, half) for table in draft.rules)
    origins = [(key, draft.header[key].where.file) for key in HEADER]
    return Recipe(
        name=plain(header["name"]),
        summary=plain(header["summary"]),
        license=plain(header["license"]),
        source=Source(source["model"], source.get("revision", ""), _family(source["family"])),
        target=Target(
            target["runtime"],
            target["experts"],
            target["mtp"],
            parse_shard_size(target["shard-size"]),
            half,
            tuple(target.get("backends", ())),
        ),
        rules=rules,
        where=header["name"].where,
        origins=(*origins, *((rule.id, rule.where.file) for rule in rules)),
        fields=tuple(field for key in HEADER for field in _header_places(draft, key)),
    )


def _family(value: str | list[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def _header_places(draft: Draft, key: str) -> list[tuple[str, Any]]:
    entry = draft.header[key]
    own = entry.where if isinstance(entry.node, Table) else entry.node.where
    return [(key, own), *places(entry.node, key + ".")]


def _rule(table: Table, half: str) -> Rule:
    identity = table.get("id")
    return Rule(
        id=rule_id(table),
        match=_match(table.get("match")),
        action=_action(table, half),
        optional=_value(table, "optional", False),
        note=_value(table, "note", ""),
        allow=tuple(_value(table, "allow", [])),
        where=identity.where if identity else table.where,
        fields=tuple(places(table)),
    )


def _value(table: Table, key: str, default: Any) -> Any:
    node = table.get(key)
    return default if node is None else plain(node)


def _match(table: Node | None) -> Match:
    if not isinstance(table, Table):
        return Match()
    numbers: set[int] = set()
    names: list[str] = []
    for node in as_list(table.get("layers")):
        some, name = parse_layer(plain(node))
        numbers.update(some)
        names += [name] * bool(name)
    words = {
        key: tuple(plain(node) for node in as_list(table.get(key)))
        for key in ("role", "projection", "block", "stored", "tensor", "module")
    }
    return Match(layers=tuple(sorted(numbers)), layer_sets=tuple(names), **words)


def _action(table: Table, half: str) -> Any:
    if table.get("drop") is not None:
        return "drop"
    keep = table.get("keep")
    return plain(keep) if keep is not None else _format(plain(table.get("format") or Table((), table.where)), half)


def _format(spec: dict[str, Any], half: str) -> Format:
    """Returns a format with its defaults filled in by its class."""
    ((kind, given),) = spec.items()
    return format_class(kind).from_recipe(given, half)
