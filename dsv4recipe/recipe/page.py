"""Floor 1, recipe. Holds one text of a recipe with its lines, gives places for messages, and lists characters that are
refused. This module is pure."""

from __future__ import annotations

import re
from typing import Any

from dsv4recipe.errors import Where

FREE_TEXT = ("note", "summary")
"""Fields that hold prose. They may have line breaks, and a comment after them is taken for lost text."""

FORBIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060\u2066-\u2069\ud800-\udfff\ufeff"
    "\ufdd0-\ufdef\ufffe\uffff\U000e0000-\U000e007f]"
)


class Page:
    """One text with its lines. It turns PyYAML marks into `Where`s."""

    def __init__(self, text: str, file: str) -> None:
        self.text = text
        self.file = file
        self.lines = text.split("\n")

    def at(self, index: int, end: int) -> Where:
        """Returns the place of text[index:end], cut at the end of its first line."""
        line = self.text.count("\n", 0, index)
        return self.span(line, index - (self.text.rfind("\n", 0, index) + 1), end - index)

    def span(self, line: int, column: int, length: int) -> Where:
        text = self.lines[line] if line < len(self.lines) else ""
        return Where(self.file, line + 1, column + 1, max(1, min(length, len(text) - column)), text)

    def of(self, start: Any, end: Any) -> Where:
        return self.span(start.line, start.column, end.index - start.index)
