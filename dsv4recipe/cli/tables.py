"""Floor 6, cli. Tables that fit the terminal: no number and no word is ever split.

A table that is too wide first leaves out its optional columns, then wraps text between words. If even the longest words
do not fit, each row becomes a heading with the other cells under it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import click
from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.table import Table

from dsv4recipe.cli.output import console

_GAP = 3
"""Blanks between two columns."""


def print_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    right: Collection[int] = (),
    optional: Sequence[str] = (),
) -> None:
    """Prints to stdout. `right` numbers the columns of numbers, `optional` names those that a narrow terminal does
    without, the least important first."""
    width = console().width
    kept = list(range(len(columns)))
    for name in (*optional, ""):
        if _width(columns, rows, kept, whole=kept) <= width:
            break
        kept = [column for column in kept if columns[column] != name]
    shown = [[row[column] for column in kept] for row in rows]
    names = [columns[column] for column in kept]
    if _width(columns, rows, kept, whole=right) <= width:
        console().print(table(names, shown, [place for place, column in enumerate(kept) if column in right]))
    else:
        _stacked(names, shown, width)


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> Table:
    """A plain table for `rich`; `right` numbers the columns of numbers, which are never wrapped."""
    made = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for number, name in enumerate(columns):
        words = [word for text in (name, *(row[number] for row in rows)) for word in text.split()]
        made.add_column(
            name,
            justify="right" if number in right else "left",
            no_wrap=number in right,
            min_width=max(map(cell_len, words), default=0),
        )
    for row in rows:
        made.add_row(*row)
    return made


def _width(columns: Sequence[str], rows: Sequence[Sequence[str]], kept: Collection[int], whole: Collection[int]) -> int:
    """The least width of a table of the columns `kept`, if those in `whole` stay on one line and the others may wrap
    between words."""
    widths = []
    for column in kept:
        cells = [columns[column], *(row[column] for row in rows)]
        parts = cells if column in whole else [word for text in cells for word in text.split()]
        widths.append(max(map(cell_len, parts), default=0))
    return sum(widths) + _GAP * (len(widths) - 1)


def _stacked(columns: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> None:
    """Each row as its first long cell on a line, and "name value" of the others under it."""
    for row in rows:
        mark, head, *rest = row if not columns[0] else ("", *row)
        names = columns[2:] if not columns[0] else columns[1:]
        click.echo(f"{mark}   {head}" if mark else head)
        line = "   "
        for name, cell in zip(names, rest, strict=True):
            part = f" {name} {cell}" if cell else ""
            if cell_len(line) + cell_len(part) > width:
                click.echo(line)
                line = "   "
            line += part + "  " * bool(part)
        click.echo(line.rstrip())
