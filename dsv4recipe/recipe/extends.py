"""Floor 1, recipe. Resolves `extends`: a recipe has one parent, whose rules are replaced, placed and removed by id.

This module is pure if the function that reads parents is.
Nothing merges: a rule with the id of a parent's rule replaces the whole rule, a top-level key the parent's whole key.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dsv4recipe.errors import Problems, RecipeError, Where, did_you_mean
from dsv4recipe.recipe.checks import check_meaning
from dsv4recipe.recipe.nodes import Entry, Items, Scalar, Table, as_list, fail, refuse, short
from dsv4recipe.recipe.schema import check_schema
from dsv4recipe.recipe.text import parse_text

MAX_PARENTS = 8

Parents = Callable[[str, str, Where], tuple[str, str]]
"""Maps (reference, file of the child, place of the reference) to (file, text) of the parent. Raises RecipeError."""

HEADER = ("recipe", "name", "summary", "license", "source", "target")


@dataclass(frozen=True, slots=True)
class Draft:
    """A recipe with its parents folded in, still as nodes: the header's entries and the rules in order."""

    header: dict[str, Entry]
    rules: tuple[Table, ...]


def read_draft(
    text: str, file: str, parents: Parents | None, lineage: tuple[str, ...] = (), chain: tuple[str, ...] = ()
) -> Draft:
    """Returns one file with its ancestors folded in. `lineage` holds the files that led here, `chain` the same as notes
    for errors.

    Raises RecipeError with all errors of a file at once; a parent's errors come before those of the child's rules.
    """
    problems = Problems()
    try:
        root = parse_text(text, file, problems)
        check_schema(root, problems)
        check_meaning(root, problems)
    except RecipeError as error:
        problems.found += error.diagnostics
        refuse(problems, chain)
    refuse(problems, chain)
    extends = root.entry("extends")
    own = Draft({entry.key: entry for entry in root.entries if entry.key in HEADER}, _tables(root))
    if extends is None or not isinstance(extends.node, Scalar):
        return own
    parent = _parent(extends.node, file, parents, lineage, chain)
    rules = _Merge(parent.rules, own.rules, root, problems).rules()
    refuse(problems, chain)
    return Draft({**parent.header, **own.header}, rules)


def _parent(
    node: Scalar, file: str, parents: Parents | None, lineage: tuple[str, ...], chain: tuple[str, ...]
) -> Draft:
    reference, where = str(node.value), node.where
    if parents is None:
        fail(
            "R040",
            "extends cannot be followed because there is no folder to look in",
            where,
            "load the recipe from a file",
        )
    try:
        parent_file, text = parents(reference, file, where)
    except RecipeError as error:
        problems = Problems(list(error.diagnostics))
        refuse(problems, chain)
        raise
    lineage = (*lineage, file)
    if parent_file in lineage:
        circle = " → ".join((*lineage[lineage.index(parent_file) :], parent_file))
        fail("R041", f"extends goes in a circle: {circle}", where, "a recipe cannot build on itself", chain)
    if len(lineage) > MAX_PARENTS:
        fail(
            "R041",
            f"more than {MAX_PARENTS} recipes build on each other",
            where,
            "`dsv4recipe show` prints a flat recipe",
            chain,
        )
    return read_draft(text, parent_file, parents, lineage, (f"it is extended by {where}", *chain))


def _tables(root: Table) -> tuple[Table, ...]:
    return tuple(rule for rule in as_list(root.get("rules")) if isinstance(rule, Table))


def rule_id(rule: Table) -> str:
    node = rule.get("id")
    return str(node.value) if isinstance(node, Scalar) else ""


class _Merge:
    """Applies a child's rules to its parent's rules."""

    def __init__(self, parent: tuple[Table, ...], child: tuple[Table, ...], root: Table, problems: Problems) -> None:
        self.parent = {rule_id(rule): rule for rule in parent}
        self.child = child
        self.own = {rule_id(rule) for rule in child}
        self.problems = problems
        self.removed = self.removals(root)

    def removals(self, root: Table) -> set[str]:
        node = root.get("remove")
        gone = set()
        for item in node.items if isinstance(node, Items) else ():
            name = str(item.value) if isinstance(item, Scalar) else ""
            if name in self.own:
                hint = "a rule with the parent's id already replaces it: delete one of the two"
                self.problems.error("R044", f'rule "{name}" is both removed and written', item.where, hint)
            elif name not in self.parent:
                self.unknown(name, item.where)
            gone.add(name)
        if gone >= set(self.parent) and not self.child:
            hint = "keep one of them, or write rules of your own"
            self.problems.error("R043", "every rule is removed", node.where if node else root.where, hint)
        return gone

    def rules(self) -> tuple[Table, ...]:
        """Returns the rules. New rules without a place go first. All others keep the parent's order, with the new rules
        that name them around them."""
        first: list[Table] = []
        around: dict[str, dict[str, list[Table]]] = {"before": {}, "after": {}}
        replaced: dict[str, Table] = {}
        for rule in self.child:
            word, anchor = self.anchor(rule)
            if rule_id(rule) in self.parent:
                replaced[rule_id(rule)] = rule
            elif word:
                around[word].setdefault(anchor, []).append(rule)
            else:
                first.append(rule)
        flat = list(first)
        for name, rule in self.parent.items():
            if name not in self.removed:
                flat += [*around["before"].get(name, ()), replaced.get(name, rule), *around["after"].get(name, ())]
        return tuple(flat)

    def anchor(self, rule: Table) -> tuple[str, str]:
        """Returns ("before" or "after", the parent's rule), or ("", "") if the rule names no place."""
        entry = rule.entry("before") or rule.entry("after")
        if entry is None or not isinstance(entry.node, Scalar):
            return "", ""
        name, where = str(entry.node.value), entry.node.where
        if rule_id(rule) in self.parent:
            hint = f"delete {entry.key}, or give the rule an id of its own"
            message = f'rule "{rule_id(rule)}" replaces the parent\'s in its place and cannot move'
            self.problems.error("R044", message, where, hint)
        elif name in self.removed:
            self.problems.error(
                "R043", f'{entry.key} names rule "{name}", which is removed', where, "name a rule that is not removed"
            )
        elif name in self.own and name not in self.parent:
            hint = "name the parent's rule in both: rules at the same place keep the order in which they are written"
            self.problems.error(
                "R043", f'{entry.key} names rule "{name}" of this file, not a rule of the parent', where, hint
            )
        elif name not in self.parent:
            self.unknown(name, where)
        return entry.key, name

    def unknown(self, name: str, where: Where) -> None:
        self.problems.error("R043", f'the parent has no rule "{short(name)}"', where, did_you_mean(name, self.parent))
