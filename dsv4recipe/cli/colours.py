"""Floor 6, cli. Colours: which words have one, and whether the terminal gets them.

`--color` decides before everything else, then NO_COLOR, then whether the stream is a terminal.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from typing import IO, Any

import click

from dsv4recipe.cli.screen import Screen, terminal_width
from dsv4recipe.errors import Diagnostic

CHOICES = ("auto", "always", "never")
_STYLE: Mapping[str, str] = {
    "+": "green", "-": "red", "~": "yellow",
    "ok": "green", "yes": "green", "loads": "green", "verified": "green", "no differences": "green",
    "FAILED": "red", "CONFLICT": "red", "verification failed": "red",
    "strict load error": "red", "refused": "red", "random weights": "red", "fails at the first token": "red",
    "garbage text": "red", "not supported": "yellow", "unknown": "yellow", "not run": "yellow",
    "error": "red", "warning": "yellow", "advice": "cyan",
}  # fmt: skip
_HEAD = re.compile(r"^(\w+)(\[[A-Z]\d+\])(: .*)$")
_CARETS = re.compile(r"^ +\| +\^+$")
_HELP = re.compile(r"^( +)(= help:)(.*)$")


class _Chosen:
    """What --color said."""

    value = "auto"


def choose(value: str) -> None:
    """Sets the choice for this process: "auto", "always" or "never"."""
    _Chosen.value = value


def wanted(stream: IO[Any]) -> bool:
    """Returns whether text that goes to a stream is coloured."""
    if _Chosen.value != "auto":
        return _Chosen.value == "always"
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb" and stream.isatty()


def style_of(word: str) -> str:
    """Returns the colour of a cell or word; "" for most."""
    return _STYLE.get(word, "")


def tinted(word: str, shown: str | None = None) -> str:
    """Returns a word in its colour; `shown` is what stands for it, such as the word with blanks behind it."""
    colour = style_of(word)
    text = word if shown is None else shown
    return click.style(text, fg=colour, bold=colour == "red") if colour else text


def rendered(found: Diagnostic) -> str:
    """Returns a diagnostic with colours for severity, carets and help, its line of a recipe as wide as the terminal."""
    if isinstance(sys.stderr, Screen):
        digits = len(str(found.where.line))
        text = found.render(max(20, terminal_width(sys.stderr.below) - digits - 5))
    else:
        text = found.render()
    return "\n".join(map(_painted, text.split("\n")))


def _painted(line: str) -> str:
    """Returns a line of a rendered diagnostic with its colours."""
    if head := _HEAD.match(line):
        colour = style_of(head[1]) or "red"
        return click.style(head[1] + head[2], fg=colour, bold=True) + click.style(head[3], bold=True)
    if _CARETS.match(line):
        start = line.index("^")
        return line[:start] + click.style(line[start:], fg="red", bold=True)
    if hit := _HELP.match(line):
        return hit[1] + click.style(hit[2], fg="green", bold=True) + hit[3]
    return line
