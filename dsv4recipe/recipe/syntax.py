"""Floor 1, recipe. Translates PyYAML's errors into diagnostics that say what to write instead. This module is pure."""

from __future__ import annotations

import re
from typing import NoReturn

import yaml

from dsv4recipe.errors import Where
from dsv4recipe.recipe.nodes import fail, short
from dsv4recipe.recipe.page import Page
from dsv4recipe.recipe.scanner import MAX_DEPTH, TOO_DEEP, Events, RefusedError

_WORD = re.compile(r"[^\s,\[\]{}#]+")


def refuse_feature(error: RefusedError, page: Page) -> NoReturn:
    """Raises R003 (anchor, alias, tag, directive) or R006 (depth), at the character where it begins."""
    index = error.mark.index
    found = _WORD.match(page.text, index)
    word = found[0] if found else page.text[index : index + 1]
    where = page.at(index, index + len(word))
    if error.what == "depth":
        fail("R006", f"this is nested deeper than {MAX_DEPTH} levels", page.at(index, index + 1), TOO_DEEP)
    if error.what == "directive":
        fail("R003", "directives (%) are not part of the recipe language", where, "delete the line")
    glob = f'quote the glob: "{short(word)}"' if error.what == "alias" else "delete it, or quote the whole text"
    reads = f"{short(word)} reads as a YAML {error.what}"
    article = {"anchor": "anchors", "alias": "aliases", "tag": "tags"}[error.what]
    fail("R003", f"{reads}; {article} are not part of the recipe language", where, glob)


def refuse_syntax(error: yaml.YAMLError, events: Events, page: Page) -> NoReturn:
    """Raises R002 at the place of the mistake, which is often not where PyYAML noticed it."""
    problem = str(getattr(error, "problem", "") or "not YAML")
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    start = getattr(error, "context_mark", None)
    index = min(mark.index if mark else 0, len(page.text))
    context = str(getattr(error, "context", "") or "")
    if problem.startswith("mapping values are not allowed") and events.scalar is not None:
        _colon(events, page, index)
    head = _closed_before(events, page, index)
    if head is not None:
        text = page.text[head : _line_end(page, head)].split(" #")[0].rstrip().rstrip("}],") or page.text[head]
        where = page.at(head, head + len(text))
        hint = f"quote the glob: '{short(text)}'"
        fail("R002", "text that begins with a bracket is read as a list or mapping", where, hint)
    where = page.at(index, index + 1)
    if "'\\t' that cannot start" in problem:
        fail("R002", "there is a tab where YAML needs spaces", where, "replace the tab by spaces")
    if "cannot start any token" in problem:
        fail("R002", f"text cannot begin with {page.text[index]}", where, "quote the text")
    if "flow sequence" in context or "flow mapping" in context or "flow node" in context:
        _flow(page, where, start)
    if "quoted scalar" in context and "end of stream" in problem and start is not None:
        fail("R002", "the quote that opens here is never closed", page.of(start, start), "close it")
    if "unknown escape" in problem or "escape sequence" in problem:
        fail("R002", "double quotes hold an unknown escape", where, "use single quotes, or write \\\\ for a backslash")
    if "could not find expected ':'" in problem and start is not None:
        line = page.at(start.index, _line_end(page, start.index))
        fail("R002", "this is neither `key: value` nor a list item", line, "put a colon and a space after the key")
    if "expected <block end>" in problem:
        fail(
            "R002",
            "the indentation of this line does not fit the lines around it",
            where,
            "check the indentation of this line and the one before",
        )
    fail("R002", f"this is not YAML: {problem}", where, "quote the text if it holds special characters")


def _colon(events: Events, page: Page, index: int) -> NoReturn:
    begin = events.scalar.start_mark.index if events.scalar else index
    if page.text.count("\n", begin, index):
        line = page.text.rindex("\n", 0, index) + 1
        line += len(page.text[line:index]) - len(page.text[line:index].lstrip())
        hint = "check the indentation of this line and the one before"
        fail("R002", "this key is on a line that continues the text above it", page.at(line, index), hint)
    end = _line_end(page, index)
    text = page.text[begin:end].split(" #")[0].rstrip()
    fail(
        "R002",
        "the text holds a colon and a space, which YAML reads as a key",
        page.at(begin, begin + len(text)),
        f'quote the text: "{short(text)}"',
    )


def _flow(page: Page, where: Where, start: yaml.Mark | None) -> NoReturn:
    opened = page.of(start, start) if start is not None else where
    bracket = opened.text[opened.column - 1 : opened.column]
    if where.line != opened.line or where.column > len(where.text):
        fail("R002", f"the {bracket} that opens here is never closed", opened, "close it")
    if where.text[where.column - 1] in "]}" and bracket in "[{":
        closing = "]" if bracket == "[" else "}"
        message = f"the {bracket} that opens here is closed by a {where.text[where.column - 1]}"
        fail("R002", message, opened, f"close it with {closing} first")
    notes = (f"it is inside the {bracket} opened at {opened}",) if bracket in "[{" else ()
    fail(
        "R002",
        "this is not allowed in a list or mapping",
        where,
        "quote globs and text that hold []{},? or #",
        notes,
    )


def _closed_before(events: Events, page: Page, index: int) -> int | None:
    """Returns where the bracket opened that closed right before an index: `[0-2].w1`."""
    span = events.opened(index)
    if span is None:
        return None
    start, end = span
    follows = end <= index and not page.text[end:index].strip(" ") and page.text[index : index + 1] != "\n"
    return start if follows else None


def _line_end(page: Page, index: int) -> int:
    end = page.text.find("\n", index)
    return len(page.text) if end < 0 else end
