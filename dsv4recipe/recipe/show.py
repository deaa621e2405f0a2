"""Floor 1, recipe. Prints a recipe as plain data and as canonical YAML text with every default. This module is pure."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from dsv4recipe.errors import Where
from dsv4recipe.recipe.layers import compact
from dsv4recipe.recipe.model import Match, Recipe, Rule
from dsv4recipe.recipe.page import FREE_TEXT
from dsv4recipe.recipe.scalars import resolve
from dsv4recipe.recipe.shard_size import size_text

Comment = Callable[[str], str]

_ORDER = (
    "recipe", "name", "summary", "license", "source", "model", "revision", "family", "target", "runtime", "experts",
    "mtp", "shard-size", "half", "backends", "rules", "id", "match", "role", "projection", "layers", "block", "stored",
    "tensor", "module", "format", "keep", "drop", "bits", "group-size", "scales", "fit", "seed", "type", "importance",
    "optional", "allow", "note",
)  # fmt: skip
_BARE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/+-]*(?: [A-Za-z0-9._/+()-][A-Za-z0-9._/+(),;-]*)*")


def recipe_data(recipe: Recipe) -> dict[str, Any]:
    """Returns the recipe as JSON-like data that is itself a valid recipe, without positions or `extends` and with every
    default."""
    families = list(recipe.source.family)
    family = families if len(families) > 1 else families[0]
    source = {"model": recipe.source.model, "revision": recipe.source.revision, "family": family}
    if not recipe.source.revision:
        del source["revision"]
    target = recipe.target
    backends = {"backends": list(target.backends)} if target.backends else {}
    return {
        "recipe": 1,
        "name": recipe.name,
        "summary": recipe.summary,
        "license": recipe.license,
        "source": source,
        "target": {
            "runtime": target.runtime,
            "experts": target.experts,
            "mtp": target.mtp,
            "shard-size": size_text(target.shard_size),
            "half": target.half,
            **backends,
        },
        "rules": [_rule_data(rule) for rule in recipe.rules],
    }


def recipe_text_data(recipe: Recipe) -> dict[str, Any]:
    """Returns `recipe_data` without the defaults, for reading."""
    data = recipe_data(recipe)
    for rule, meant in zip(data["rules"], recipe.rules, strict=True):
        if not rule["optional"]:
            del rule["optional"]
        if not isinstance(meant.action, str):
            rule["format"] = meant.action.spelled(recipe.target.half)
        rule["match"] = {k: v[0] if len(v) == 1 and k != "layers" else v for k, v in rule["match"].items()}
    return data


def _rule_data(rule: Rule) -> dict[str, Any]:
    data: dict[str, Any] = {"id": rule.id, "match": _match_data(rule.match)}
    if rule.action == "drop":
        data["drop"] = True
    elif isinstance(rule.action, str):
        data["keep"] = rule.action
    else:
        data["format"] = rule.action.spec()
    data["optional"] = rule.optional
    if rule.allow:
        data["allow"] = list(rule.allow)
    if rule.note:
        data["note"] = rule.note
    return data


def _match_data(match: Match) -> dict[str, Any]:
    data: dict[str, list[Any]] = {
        "role": list(match.role),
        "projection": list(match.projection),
        "layers": [*compact(match.layers), *match.layer_sets],
        "block": list(match.block),
        "stored": list(match.stored),
        "tensor": list(match.tensor),
        "module": list(match.module),
    }
    return {key: values for key, values in data.items() if values}


def show_recipe(recipe: Recipe) -> str:
    """Returns the flattened recipe as YAML. Each line says where it came from. The text loads to an equal recipe."""
    known = dict(recipe.fields)
    rules = {f"rules.{n}": rule for n, rule in enumerate(recipe.rules)}

    def comment(path: str) -> str:
        rule = rules.get(".".join(path.split(".", 2)[:2]))
        if rule is None:
            return _origin(known.get(path))
        inside = path.split(".", 2)[2] if path.count(".") > 1 else ""
        where = dict(rule.fields).get(inside) if inside else rule.where
        return _origin(where) if where else "# default" if rule.where.line else ""

    return data_text(recipe_data(recipe), comment)


def _origin(where: Where | None) -> str:
    if where is None or not where.line:
        return ""
    file = "".join(each if each.isprintable() else "?" for each in where.file)
    return f"# from {file}:{where.line}"


def data_text(data: Mapping[str, Any], comment: Comment | None = None, one_line: Collection[str] = ()) -> str:
    """Returns `recipe_data` as YAML text. `comment` gives the comment of a line from its dotted path; mappings under
    the keys in `one_line` are written in braces."""
    lines = [(text, comment(path) if comment else "") for path, text in _lines(data, "", 0, one_line)]
    width = min(64, max((len(text) for text, note in lines if note), default=0))
    return "".join(f"{text:<{width}}  {note}".rstrip() + "\n" if note else f"{text}\n" for text, note in lines)


def _lines(data: Mapping[str, Any], path: str, depth: int, one_line: Collection[str]) -> Iterator[tuple[str, str]]:
    indent = "  " * depth
    for key in sorted(data, key=_place):
        value, here = data[key], f"{path}{key}"
        if isinstance(value, Mapping) and value and key not in one_line:
            yield here, f"{indent}{key}:"
            yield from _lines(value, here + ".", depth + 1, one_line)
        elif key == "rules":
            yield here, f"{indent}{key}:"
            for number, rule in enumerate(value):
                first, *rest = _lines(rule, f"{here}.{number}.", depth + 2, one_line)
                yield first[0], f"{indent}  - {first[1].lstrip()}"
                yield from rest
        else:
            # without a gap, a comment after a bare text would read as lost text
            yield here, f"{indent}{key}: {_quoted(value) if key in FREE_TEXT else _flow(value)}"


def _place(key: str) -> tuple[int, str]:
    return _ORDER.index(key) if key in _ORDER else len(_ORDER), key


def _flow(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_flow(value[key])}" for key in sorted(value, key=_place)) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_flow(item) for item in value) + "]"
    if isinstance(value, str):
        return scalar_text(value)
    return json.dumps(value)


def scalar_text(value: str) -> str:
    """Returns the text without quotes if YAML reads it back as this text, otherwise in double quotes."""
    try:
        if _BARE.fullmatch(value) and resolve(value) == value:
            return value
    except ValueError:
        pass
    return _quoted(value)


def _quoted(value: str) -> str:
    quoted = json.dumps(value, ensure_ascii=False)
    return "".join(each if each.isprintable() else _escape(each) for each in quoted)


def _escape(character: str) -> str:
    return f"\\U{ord(character):08x}" if ord(character) > 0xFFFF else f"\\u{ord(character):04x}"
