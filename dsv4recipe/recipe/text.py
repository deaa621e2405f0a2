"""Floor 1, recipe. Strict YAML 1.2 text → nodes with positions. Pure: a function of one string.

Order: size, characters, events (depth, tags, anchors), nodes (duplicate keys, scalars that are not what they seem).
The traps and limits are those of fact sheet examples_to_follow.md section 8, measured there.
"""

from __future__ import annotations

import re
from typing import Any

from dsv4recipe.errors import Problems, RecipeError, Where
from dsv4recipe.recipe.nodes import Table, fail

MAX_BYTES = 1_000_000
MAX_LINE = 4096
MAX_LINES = 50_000

FREE_TEXT = ("note", "summary")
"""Fields that hold prose: they may have line breaks, and a comment after them is taken for lost text."""

FORBIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060\u2066-\u2069\ud800-\udfff\ufeff"
    "\ufdd0-\ufdef\ufffe\uffff\U000e0000-\U000e007f]"
)


class Page:
    """One text with its lines: makes `Where`s of PyYAML marks."""

    def __init__(self, text: str, file: str) -> None:
        self.text = text
        self.file = file
        self.lines = text.split("\n")

    def at(self, index: int, end: int) -> Where:
        """The place of text[index:end], cut at the end of its first line."""
        line = self.text.count("\n", 0, index)
        return self.span(line, index - (self.text.rfind("\n", 0, index) + 1), end - index)

    def span(self, line: int, column: int, length: int) -> Where:
        text = self.lines[line] if line < len(self.lines) else ""
        return Where(self.file, line + 1, column + 1, max(1, min(length, len(text) - column)), text)

    def of(self, start: Any, end: Any) -> Where:
        return self.span(start.line, start.column, end.index - start.index)


def parse_text(text: str, file: str, problems: Problems) -> Table:
    """The document's top mapping.

    Raises RecipeError R002, R003, R005, R006 or R008 where reading cannot go on; what does not stop it (R004 duplicate
    keys, R007 scalars that are not what they seem) is added to `problems`.
    """
    from dsv4recipe.recipe.compose import compose  # not at the top: importing the room should not cost PyYAML

    node = compose(Page(_checked(text, file), file), problems)
    if isinstance(node, Table):
        return node
    hint = "start with `recipe: 1`; `dsv4recipe init FILE` writes a commented one"
    where = node.where if node else Where(file)
    raise RecipeError("R008", "a recipe is a mapping of keys" if node else "the recipe is empty", where, hint)


def _checked(text: str, file: str) -> str:
    """The text with one kind of line break, or a refusal: too large, or characters that hide what is written."""
    if len(text) > MAX_BYTES or len(text.encode(errors="surrogatepass")) > MAX_BYTES:
        fail("R006", f"a recipe has at most {MAX_BYTES:,} bytes", Where(file), "split it with `extends`")
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    page = Page(text, file)
    found = FORBIDDEN.search(text)
    if found:
        name = f"U+{ord(found[0]):04X}"
        fail("R005", f"invisible character {name}", _readable(page.at(found.start(), found.end())), "delete it")
    if len(page.lines) > MAX_LINES:
        fail("R006", f"a recipe has at most {MAX_LINES:,} lines", page.span(MAX_LINES, 0, 1), "use globs")
    for number, line in enumerate(page.lines):
        if len(line) > MAX_LINE:
            where = Where(file, number + 1, MAX_LINE + 1, 1, "")
            fail("R006", f"a line of {len(line):,} characters; at most {MAX_LINE:,} are read", where, "break it up")
    return text


def _readable(where: Where) -> Where:
    """The place with the invisible characters of its line shown as U+FFFD, one for one."""
    return Where(where.file, where.line, where.column, where.length, FORBIDDEN.sub("\ufffd", where.text))
