"""Floor 1, recipe. Checks nodes against the published JSON schema, with messages in the words of recipes.

The schema decides and `jsonschema` finds the errors. This module gives each finding its place and a message that says
how to fix it. It reads the shipped schema.
"""

from __future__ import annotations

import difflib
import json
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, Any

from dsv4recipe.errors import Problems, Where, did_you_mean
from dsv4recipe.formats.registry import recipe_schema
from dsv4recipe.recipe.layers import parse_layer
from dsv4recipe.recipe.nodes import MAX_ERRORS, Items, Scalar, Table, find, plain, short
from dsv4recipe.recipe.runtimes import with_added
from dsv4recipe.recipe.shipped import schema_text
from dsv4recipe.recipe.wording import and_, flow, kind, nearest, or_, shown
from dsv4recipe.recipe.words import format_hint, known_word

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError

ACTIONS = ("format", "keep", "drop")

_ID = "letters, digits, dot, underscore and hyphen, at most 64, beginning with a letter or digit"
_PATTERNS = {
    "name": ("a name", _ID),
    "id": ("a rule id", _ID),
    "remove": ("a rule id", _ID),
    "before": ("a rule id", _ID),
    "after": ("a rule id", _ID),
    "license": ("a license name", "write the hub's name of it, such as mit or apache-2.0"),
    "revision": ("a commit", "write the 40 hexadecimal digits of the commit, in quotes"),
    "family": ("a family", "write model_type of config.json, such as deepseek_v4"),
    "shard-size": ("a size with a unit", "write 5GiB or 5GB"),
}
_TYPES = {
    "string": "text", "integer": "a whole number", "boolean": "true or false", "object": "a mapping", "array": "a list",
}  # fmt: skip
_YAML_1_1 = {"yes": "true", "on": "true", "y": "true", "no": "false", "off": "false", "n": "false"}


@cache
def _validator() -> Any:
    """Returns a Draft 7 validator for which a float is never a whole number."""
    from jsonschema import Draft7Validator, validators

    whole = Draft7Validator.TYPE_CHECKER.redefine(
        "integer", lambda _, v: isinstance(v, int) and not isinstance(v, bool)
    )
    extend: Any = validators.extend
    return extend(Draft7Validator, type_checker=whole)(_inlined(_document()))


def check_schema(root: Table, problems: Problems) -> None:
    """Adds every violation of the schema to `problems`, each at the key or value that is wrong."""
    for error in islice(_validator().iter_errors(plain(root)), 10 * MAX_ERRORS):
        _Finding(root, error, problems).explain()


class _Finding:
    """One schema error with its node, the field's name and its place."""

    def __init__(self, root: Table, error: ValidationError, problems: Problems) -> None:
        self.root = root
        self.error: Any = error
        self.problems = problems
        self.path = list(error.absolute_path)
        self.node, self.key = find(root, self.path)
        self.field = next((step for step in reversed(self.path) if isinstance(step, str)), "")
        self.rule = self.path[:1] == ["rules"] and len(self.path) == 2

    @property
    def where(self) -> Where:
        return self.node.where

    def add(self, code: str, message: str, hint: str = "", where: Where | None = None) -> None:
        self.problems.error(code, message, where or self.where, hint)

    def explain(self) -> None:
        handler = getattr(self, "on_" + str(self.error.validator).lower(), None)
        if handler is None:
            self.add("R023", f"{self.field or 'the recipe'} breaks the schema: {self.error.validator}")
        else:
            handler()

    def on_additionalproperties(self) -> None:
        known = _properties(self.error.schema)
        if isinstance(self.node, Table):
            for entry in self.node.entries:
                if entry.key not in known:
                    hint = did_you_mean(entry.key, known) or f"it takes no parameters: write {self.field}: {{}}"
                    if self.field == "format":
                        hint = format_hint(entry.key, self.error.schema["properties"])
                    code = "R026" if self.field == "format" else "R020"
                    what = "format" if self.field == "format" else "key"
                    self.add(code, f'unknown {what} "{short(entry.key)}"', hint, entry.where)

    def on_required(self) -> None:
        table = self.node if isinstance(self.node, Table) else Table((), self.where)
        missing = [key for key in self.error.validator_value if table.get(key) is None and not self.misspelled(key)]
        name = f'"{self.field}"' if self.key else "the rule" if self.rule else "the recipe"
        where = self.key or self.where
        if self.rule and table.entries:
            where = table.entries[0].where
        if missing:
            self.add("R021", f"{name} lacks {and_(missing)}", _example(self.error.schema, missing[0]), where)

    def misspelled(self, *words: str) -> bool:
        """Returns whether an unknown key is so near to a missing one that only the unknown key is reported."""
        known = _properties(self.error.schema)
        keys = [entry.key for entry in self.node.entries] if isinstance(self.node, Table) else []
        return any(key not in known and difflib.get_close_matches(key, words) for key in keys)

    def on_type(self) -> None:
        wanted = str(self.error.validator_value)
        name = "a rule" if self.rule else self.field
        self.add("R022", f"{name} must be {_TYPES[wanted]}, not {kind(self.node)}", self.type_hint(wanted))

    def type_hint(self, wanted: str) -> str:
        """Returns how to write a value of the wanted type, if it is clear what was meant."""
        value = self.node.value if isinstance(self.node, Scalar) else None
        raw = short(self.node.raw) if isinstance(self.node, Scalar) else ""
        hint = ""
        if wanted == "string" and value is not None:
            hint = "write a size with its unit: 5GiB" if self.field == "shard-size" else f'quote it: "{raw}"'
        elif wanted == "integer" and isinstance(value, str) and value.isdecimal():
            hint = f"write {raw} without quotes"
        elif wanted == "integer" and isinstance(value, float) and value.is_integer():
            hint = f"write {int(value)}"
        elif wanted == "boolean" and raw in _YAML_1_1:
            hint = f"YAML 1.2 reads {raw} as text; write {_YAML_1_1[raw]}"
        elif wanted == "object" and self.field == "format" and raw:
            hint = format_hint(raw, self.error.schema["properties"])
        elif wanted == "object" and self.path[-2:-1] == ["format"]:
            hint = f"write {self.field}: {flow(self.error.schema['examples'][0])}"
        elif wanted == "object" and self.rule and raw:
            hint = f"write `- id: {raw}`, and below it match and one of format, keep and drop"
        elif wanted == "integer" and isinstance(value, str):
            hint = "write digits alone, such as " + flow(self.error.schema.get("examples", [4])[0])
        elif self.field == "extends":
            hint = "a recipe has at most one parent: write its name without brackets"
        elif wanted == "string" and self.error.schema.get("enum"):
            hint = f"write one of {or_(self.error.schema['enum'])}"
        return hint

    def on_enum(self) -> None:
        values = [str(value) for value in self.error.validator_value]
        got = shown(self.node)
        hint = known_word(str(plain(self.node)), values) if isinstance(plain(self.node), str) else ""
        if len(values) > 8:
            self.add("R023", f"{got} is not a known {self.field}", hint)
        else:
            hint = hint if hint.startswith("did") else nearest(plain(self.node), self.error.validator_value)
            if self.field == "keep" and not hint:
                hint = "keep copies a tensor; for fewer bits write format: {affine: {bits: 8, group-size: 32}}"
            self.add("R023", f"{self.field} must be {or_(values)}, not {got}", hint or f"write {values[0]}")

    def on_const(self) -> None:
        got = shown(self.node)
        if self.field == "recipe":
            if isinstance(plain(self.node), int):
                self.add(
                    "R023", f"recipe language version {got} is unknown; this tool reads version 1", "write recipe: 1"
                )
        elif self.field == "drop" and plain(self.node) is False:
            self.add("R023", "drop can only be true", "say in its place what the tensors become: keep: source")

    def on_pattern(self) -> None:
        what, hint = _PATTERNS[self.field]
        self.add("R024", f"{shown(self.node)} is not {what}", hint)

    def on_minlength(self) -> None:
        if self.field not in ("tensor", "module"):
            self.add("R027", f"{self.field} is empty")

    def on_maxlength(self) -> None:
        length, limit = len(str(plain(self.node))), self.error.validator_value
        message = f"{self.field} has {length} characters; at most {limit} are allowed"
        if self.field in ("tensor", "module"):
            self.add("R032", message, "use * for the middle")
        else:
            self.add("R024", message, "shorten it")

    def on_minimum(self) -> None:
        least = self.error.validator_value
        self.add("R023", f"{self.field} must be at least {least}, not {shown(self.node)}", f"write {least} or more")

    def on_maximum(self) -> None:
        most = self.error.validator_value
        self.add("R023", f"{self.field} must be at most {most}, not {shown(self.node)}", f"write {most} or less")

    def on_minitems(self) -> None:
        self.add("R027", f"{self.field} is an empty list", "give it a value, or delete the key", self.key)

    def on_uniqueitems(self) -> None:
        seen: list[tuple[type, Any]] = []
        for item in self.node.items if isinstance(self.node, Items) else ():
            value = (type(plain(item)), plain(item))
            if value in seen:
                self.add("R027", f"{shown(item)} is listed twice", "keep one of the two", item.where)
            seen.append(value)

    def on_minproperties(self) -> None:
        if self.field == "format":
            known = ", ".join(self.error.schema["properties"])
            self.add("R026", "format is empty", f"known formats: {known}", self.key)
        else:
            hint = 'to match every tensor left, write match: {tensor: "*"}'
            self.add("R027", "match needs at least one condition", hint, self.key)

    def on_maxproperties(self) -> None:
        if isinstance(self.node, Table):
            names = and_([short(entry.key) for entry in self.node.entries])
            where = self.node.entries[1].where
            self.add(
                "R026", f"a rule has one format, not {names}", "write one rule for each, or keep one of them", where
            )

    def on_oneof(self) -> None:
        """Reports a rule that does not have exactly one action."""
        if isinstance(self.node, Table):
            given = [entry for entry in self.node.entries if entry.key in ACTIONS]
            if not given and self.misspelled(*ACTIONS):
                return
            got = f"this one has {and_([entry.key for entry in given])}" if given else "this one has none"
            where = given[1].where if given else self.node.entries[0].where if self.node.entries else self.where
            self.add("R025", "a rule needs exactly one of format, keep, drop", got, where)

    def on_anyof(self) -> None:
        """Reports a wrong layer, or a wrong value that may stand alone or in a list, by the kind of value it is."""
        if self.error.validator_value[1].get("type") != "array":
            try:
                parse_layer(plain(self.node))
            except ValueError as error:
                self.add("R031", *error.args)
        elif isinstance(self.node, Table):
            hint = f"write it without braces: {self.field}: {self.node.entries[0].key}" if self.node.entries else ""
            self.add("R022", f"{self.field} must be a value or a list, not a mapping", hint)
        else:
            branch = 1 if isinstance(self.node, Items) else 0
            for inner in self.error.context:
                if inner.schema_path[0] == branch:
                    _Finding(self.root, inner, self.problems).explain()

    def on_not(self) -> None:
        entry = self.node.entry("after") if isinstance(self.node, Table) else None
        self.add(
            "R044", "a rule goes before another or after one, not both", "keep one", entry.where if entry else None
        )


def _inlined(schema: Any) -> Any:
    """Returns the schema with every reference replaced by its definition, which makes validation a third faster. The
    definitions are not recursive."""
    if isinstance(schema, dict):
        if "$ref" in schema:
            return _inlined(_document()["definitions"][schema["$ref"].rsplit("/", 1)[-1]])
        return {key: _inlined(each) for key, each in schema.items() if key != "definitions"}
    return [_inlined(each) for each in schema] if isinstance(schema, list) else schema


def _properties(schema: Any) -> dict[str, Any]:
    """Returns the properties that a schema knows; for `then` of the whole recipe, those of the recipe."""
    own: dict[str, Any] = schema if {"properties", "additionalProperties"} & set(schema) else _inlined(_document())
    found: dict[str, Any] = own.get("properties", {})
    return found


@cache
def _document() -> dict[str, Any]:
    """Returns the published schema. The parameters of `format` come from the registered formats, and `runtime` also
    accepts the runtimes that other packages add."""
    document: dict[str, Any] = json.loads(schema_text("recipe"))
    document["definitions"]["format"]["properties"] = recipe_schema()
    return with_added(document)


def _example(schema: Any, key: str) -> str:
    """Returns `key: example` from the schema's own examples."""
    found = _properties(schema).get(key, {})
    return f"for example {key}: {flow(found['examples'][0])}" if found.get("examples") else ""
