"""Floor 6, cli. A terminal that never splits a word: lines that are too long go on below, between two words.

Only a terminal gets this; in a pipe or a file every line is whole. Data goes around it (`raw`).
"""

from __future__ import annotations

import os
import re
import sys
from typing import Any

_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_SOURCE = re.compile(r"^ *\d* \|")
"""A line of a recipe under a diagnostic, or the carets below it: their columns must stay."""


def install() -> None:
    """Lets what is printed to a terminal go through a `Screen`, for the rest of the process."""
    if sys.stdout.isatty() and not isinstance(sys.stdout, Screen):
        sys.stdout = Screen(sys.stdout)
    if sys.stderr.isatty() and not isinstance(sys.stderr, Screen):
        sys.stderr = Screen(sys.stderr)


def raw(stream: Any) -> Any:
    """Returns the stream below a `Screen`: for a recipe, a schema, JSON, which people copy."""
    return stream.below if isinstance(stream, Screen) else stream


class Screen:
    """A text stream to a terminal; `below` is the stream itself."""

    def __init__(self, below: Any) -> None:
        self.below = below

    def write(self, text: str) -> int:
        """Writes text, its long lines wrapped."""
        if "\n" in text:
            width = terminal_width(self.below)
            lines = text.split("\n")
            text = "\n".join([*(wrapped(line, width) for line in lines[:-1]), lines[-1]])
        self.below.write(text)
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.below, name)


def terminal_width(stream: Any) -> int:
    """Returns the columns of a terminal: COLUMNS, else what it says itself, else 80."""
    said = os.environ.get("COLUMNS", "")
    if said.isdecimal() and int(said):
        return int(said)
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except (OSError, ValueError):
        return 80


def wrapped(line: str, width: int) -> str:
    """Returns one line as lines of at most `width` columns where its words allow, each after the first a little
    indented. Control sequences take no room."""
    if _length(line) <= width or _SOURCE.match(_ANSI.sub("", line)):
        return line
    plain = _ANSI.sub("", line)
    indent = " " * (len(plain) - len(plain.lstrip()) + 2)
    rows, row = [], ""
    for piece in re.findall(r" *[^ ]+", line):
        if row and _length(row) + _length(piece) > width and row.strip():
            rows.append(row)
            row = indent + piece.lstrip(" ")
        else:
            row += piece
    return "\n".join([*rows, row])


def _length(text: str) -> int:
    from rich.cells import cell_len

    return cell_len(_ANSI.sub("", text))
