"""Floor 6, cli. Prints tables that fit the terminal, without ever splitting a number or a word.

A table that is too wide first leaves out its optional columns, then wraps text between words. If even the longest words
do not fit, each row becomes a heading with the other cells below it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import click
from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from dsv4recipe.cli.colours import style_of, tinted
from dsv4recipe.cli.output import console

_GAP = 3
"""The number of blanks between two columns."""


def print_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    right: Collection[int] = (),
    optional: Sequence[str] = (),
) -> None:
    """Prints a table to stdout. `right` numbers the columns of numbers. `optional` names the columns that a narrow
    terminal leaves out, the least important first."""
    width = console().width
    kept = list(range(len(columns)))
    for name in optional:
        if _total(_widths(columns, rows, kept)) > width:
            kept = [column for column in kept if columns[column] != name]
    names = [columns[column] for column in kept]
    shown = [[row[column] for column in kept] for row in rows]
    numbers = [place for place, column in enumerate(kept) if column in right]
    widths = _fitted(names, shown, numbers, width)
    if widths:
        console().print(table(names, shown, numbers, widths))
    else:
        _stacked(names, shown, width)


def table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    right: Collection[int] = (),
    widths: Sequence[int] | None = None,
) -> Table:
    """Returns a plain table for `rich`. `right` numbers the columns of numbers; `widths` fixes the width of each
    column."""
    made = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for number, name in enumerate(columns):
        made.add_column(name, justify="right" if number in right else "left", width=widths[number] if widths else None)
    for row in rows:
        made.add_row(*(Text(cell, style=style_of(cell)) for cell in row))
    return made


def _widths(
    columns: Sequence[str], rows: Sequence[Sequence[str]], kept: Collection[int], words: bool = False
) -> list[int]:
    """Returns the width of the widest cell of each column, or with `words` of its widest word."""
    found = []
    for column in kept:
        cells = [columns[column], *(row[column] for row in rows)]
        found.append(max((cell_len(part) for text in cells for part in (text.split() if words else [text])), default=0))
    return found


def _total(widths: Sequence[int]) -> int:
    """Returns the width of a table with columns of these widths."""
    return sum(widths) + _GAP * (len(widths) - 1) + 1  # `rich` keeps a blank after the last column


def _fitted(
    columns: Sequence[str], rows: Sequence[Sequence[str]], right: Collection[int], width: int
) -> list[int] | None:
    """Returns widths that fit, if columns of text may wrap between words; None if no widths fit."""
    every = range(len(columns))
    widths, least = _widths(columns, rows, every), _widths(columns, rows, every, words=True)
    while _total(widths) > width:
        open_ = [place for place in every if place not in right and widths[place] > least[place]]
        if not open_:
            return None
        widths[max(open_, key=lambda place: widths[place])] -= 1
    return widths


def _stacked(columns: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> None:
    """Prints each row as its first long cell on a line, with "name value" of the other cells below it."""
    for row in rows:
        mark, head, *rest = ("", *row) if columns[0] else row
        names = columns[1:] if columns[0] else columns[2:]
        click.echo(f"{tinted(mark)}   {head}" if mark else head)
        line = ""
        for name, cell in zip(names, rest, strict=True):
            part = f"    {name} {cell}" if cell else ""
            if line and cell_len(line) + cell_len(part) > width:
                click.echo(line)
                line = ""
            line += part
        click.echo(line)
