"""Floor 1, recipe. Checks what a JSON schema cannot express: globs, ranges, sizes, ids. This module is pure.

It also runs on nodes that break the schema, so that all errors of a file show at once; it skips what it cannot read.
"""

from __future__ import annotations

from dsv4recipe.errors import Problems
from dsv4recipe.recipe.globs import glob_problem
from dsv4recipe.recipe.layers import parse_layer
from dsv4recipe.recipe.nodes import Items, Node, Scalar, Table, as_list, short
from dsv4recipe.recipe.shard_size import ONE_FILE, parse_shard_size

MAX_SHARD = 2**50


def check_meaning(root: Table, problems: Problems) -> None:
    """Adds duplicate ids (R030), layers (R031), globs (R032), sizes (R033) and misplaced words of `extends` (R044)."""
    target, rules = root.get("target"), root.get("rules")
    if isinstance(target, Table):
        _size(target.get("shard-size"), problems)
    alone = root.get("extends") is None
    stray = root.entry("remove") if alone else None
    if stray:
        problems.error("R044", "remove has no effect without extends", stray.where, "name the parent: extends: q4q8")
    first: dict[str, str] = {}
    for rule in rules.items if isinstance(rules, Items) else ():
        if isinstance(rule, Table):
            _rule(rule, first, alone, problems)


def _rule(rule: Table, first: dict[str, str], alone: bool, problems: Problems) -> None:
    identity = rule.get("id")
    if isinstance(identity, Scalar) and isinstance(identity.value, str):
        seen = first.setdefault(identity.value, str(identity.where))
        if seen != str(identity.where):
            message = f'two rules are called "{short(identity.value)}"'
            problems.error(
                "R030", message, identity.where, "give each rule its own id", (f"the first one is at {seen}",)
            )
    for word in ("before", "after"):
        entry = rule.entry(word)
        if entry and alone:
            hint = "without a parent, rules are tried in the order in which they are written; move the rule"
            problems.error("R044", f"{word} has no effect without extends", entry.where, hint)
    allow = rule.entry("allow")
    if allow and rule.get("note") is None:
        problems.error("R045", "allow silences advice, but no note says why", allow.where, "add a note with the reason")
    match = rule.get("match")
    if isinstance(match, Table):
        for glob in (*as_list(match.get("tensor")), *as_list(match.get("module"))):
            if isinstance(glob, Scalar) and isinstance(glob.value, str):
                problem, hint = glob_problem(glob.value)
                if problem:
                    problems.error("R032", problem, glob.where, hint)
        for layer in as_list(match.get("layers")):
            if isinstance(layer, Scalar):
                try:
                    parse_layer(layer.value)
                except ValueError as error:
                    problems.error("R031", error.args[0], layer.where, error.args[1])


def _size(node: Node | None, problems: Problems) -> None:
    if isinstance(node, Scalar) and isinstance(node.value, str):
        try:
            size = parse_shard_size(node.value)
        except ValueError as error:
            problems.error("R024", short(str(error), 120), node.where, "write 5GiB or 5GB")
            return
        if not size <= MAX_SHARD or (not size and node.value != ONE_FILE):
            problems.error("R033", f"shard-size {short(node.value)} is out of range", node.where, "write 5GiB or 5GB")
