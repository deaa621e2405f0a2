"""Floor 1, recipe. Builds nodes from YAML events and refuses duplicate keys, tags, deep nesting and misleading scalars.
This module is pure."""

from __future__ import annotations

import re
from typing import Any

import yaml
from yaml.events import (
    DocumentEndEvent,
    MappingEndEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)

from dsv4recipe.errors import Problems, Where
from dsv4recipe.recipe.nodes import Entry, Items, Node, Scalar, Table, fail, short
from dsv4recipe.recipe.page import FORBIDDEN, FREE_TEXT, Page
from dsv4recipe.recipe.scalars import resolve
from dsv4recipe.recipe.scanner import MAX_DEPTH, TOO_DEEP, Events, RefusedError
from dsv4recipe.recipe.syntax import refuse_feature, refuse_syntax

MAX_NODES = 50_000

_COMMENT = re.compile(r" +#([^\n]*)")


def compose(page: Page, problems: Problems) -> Node | None:
    """Returns the one document of a page, or None if it is empty. Reports the errors that `parse_text` lists."""
    events: Any = Events(page.text)
    try:
        events.get_event()
        if isinstance(events.get_event(), StreamEndEvent):
            return None
        node = _Builder(page, events, problems).node(events.get_event(), "", 1)
        end = events.get_event()
        extra = events.get_event()
        if not (isinstance(end, DocumentEndEvent) and isinstance(extra, StreamEndEvent)):
            where = page.of(extra.start_mark, extra.end_mark)
            fail(
                "R003",
                "a second document begins here, but a recipe is a single document",
                where,
                "delete this line or make two files",
            )
    except RefusedError as error:
        refuse_feature(error, page)
    except yaml.YAMLError as error:
        refuse_syntax(error, events, page)
    except (ValueError, OverflowError):
        # chr() of an escape beyond U+10FFFF inside a double-quoted scalar
        fail("R002", "this escape is not a character", page.at(events.index, events.index + 8), "write the character")
    return node


class _Builder:
    """Turns events into nodes. The depth limit bounds the recursion."""

    def __init__(self, page: Page, events: Any, problems: Problems) -> None:
        self.page = page
        self.next = events.get_event
        self.problems = problems
        self.count = 0

    def node(self, event: Any, key: str, depth: int) -> Node:
        """Returns the node that begins with an event; `key` is the field whose value it is."""
        self.count += 1
        if self.count > MAX_NODES:
            fail("R006", f"a recipe has at most {MAX_NODES:,} values", self.page.of(event.start_mark, event.end_mark))
        if isinstance(event, ScalarEvent):
            return self.scalar(event, key)
        if depth > MAX_DEPTH:
            where = self.page.of(event.start_mark, event.end_mark)
            fail("R006", f"this is nested deeper than {MAX_DEPTH} levels", where, TOO_DEEP)
        if isinstance(event, SequenceStartEvent):
            return self.items(event, key, depth)
        return self.table(event, depth)

    def items(self, event: Any, key: str, depth: int) -> Items:
        items = []
        while not isinstance(inner := self.next(), SequenceEndEvent):
            items.append(self.node(inner, key, depth + 1))
        return Items(tuple(items), self.whole(event, inner, 1 if items else 0))

    def table(self, event: Any, depth: int) -> Table:
        entries: dict[str, Entry] = {}
        while not isinstance(inner := self.next(), MappingEndEvent):
            entry = self.entry(inner, depth)
            first = entries.setdefault(entry.key, entry)
            if first is not entry:
                notes = (f"it is first written at {first.where}",)
                hint = "keep one of the two"
                self.problems.error("R004", f'key "{short(entry.key)}" is written twice', entry.where, hint, notes)
        head = next(iter(entries.values())).where.length if entries else 0
        return Table(tuple(entries.values()), self.whole(event, inner, head))

    def entry(self, event: Any, depth: int) -> Entry:
        key = self.node(event, "", depth + 1)
        if not isinstance(key, Scalar):
            fail(
                "R003",
                "a key cannot be a list or a mapping",
                key.where,
                "write a word as key; quote a glob that begins with a bracket",
            )
        if key.raw == "<<":
            hint = "use `extends` to build on another recipe"
            fail("R003", "merge keys (<<) are not part of the recipe language", key.where, hint)
        return Entry(key.raw, key.where, self.node(self.next(), key.raw, depth + 1))

    def whole(self, event: Any, end: Any, head: int) -> Where:
        """Returns the place of a flow collection from bracket to bracket, or of the first `head` characters of a block
        collection."""
        if event.flow_style or not head:
            return self.page.of(event.start_mark, end.end_mark)
        return self.page.span(event.start_mark.line, event.start_mark.column, head)

    def scalar(self, event: Any, key: str) -> Scalar:
        where = self.page.of(event.start_mark, event.end_mark)
        text: str = event.value
        if not event.implicit[0]:
            found = FORBIDDEN.search(text) or (None if key in FREE_TEXT else re.search("[\n\t]", text))
            if found:
                message = f"the text holds U+{ord(found[0]):04X}"
                one_line = "write it on one line; note and summary may have more"
                hint = one_line if found[0] in "\n\t" else "delete the escape"
                self.problems.error("R005", message, where, hint)
            return Scalar(text, text, where)
        if key:
            self.lost(event, key)
        try:
            return Scalar(resolve(text), text, where)
        except ValueError as error:
            message, hint = error.args
            self.problems.error("R007", message, where, hint)
            return Scalar(None, text, where)

    def lost(self, event: Any, key: str) -> None:
        """Refuses text after ` #` if it was probably meant as text, because YAML reads it as a comment."""
        found = _COMMENT.match(self.page.text, event.end_mark.index)
        if found is None or not event.value:
            return
        if found[1][:1] in ("", " ", "\t", "#") and key not in FREE_TEXT:
            return
        where = self.page.at(found.start() + found[0].index("#"), found.end())
        text = f"{event.value} #{found[1].rstrip()}"
        hint = (
            f'quote the text: {key}: "{short(text)}"' if key in FREE_TEXT else "quote the text, or put a space after #"
        )
        self.problems.error("R007", "the text after # is a comment and would be lost", where, hint)
