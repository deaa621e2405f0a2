"""Floor 6, cli. A diff as a person reads it: one screen."""

from __future__ import annotations

from collections.abc import Sequence

import click

from dsv4recipe.cli.tables import print_table
from dsv4recipe.plan.diff import Change, PlanDiff
from dsv4recipe.plan.diff_groups import ROWS, merged, named
from dsv4recipe.units import gigabytes


def print_diff(found: PlanDiff) -> None:
    """`-` `+` `~` by module pattern with byte deltas, then what differs outside modules, then totals."""
    if found.empty:
        click.echo(f"no differences ({found.same:,} modules)")
        return
    changes = [*merged(found.removed), *merged(found.added), *merged(found.changed)]
    largest = sorted(changes, key=lambda change: -abs(change.bytes_delta))[:ROWS]
    rows = [_row(change) for change in changes if change in largest]
    if rows:
        print_table(("", "modules", "before", "after", "bytes"), rows, (4,))
        _more(changes, ROWS, "groups of modules")
    for what, old, new in found.facts[:ROWS]:
        click.echo(f"~ {what}: {old or 'none'} → {new or 'none'}")
    _more(found.facts, ROWS, "facts")
    noun = "module is" if found.same == 1 else "modules are"
    click.echo(f"{found.same:,} {noun} the same")
    for name, size in (("before", found.bytes_before), ("after ", found.bytes_after)):
        click.echo(f"{name} {size:>19,} B  {gigabytes(size)}")
    delta = found.bytes_delta
    click.echo(f"delta  {delta:>+19,} B  {delta / 1e9:+.3f} GB / {delta / 2**30:+.3f} GiB")


def _more(rows: Sequence[object], shown: int, noun: str) -> None:
    if len(rows) > shown:
        click.echo(f"  and {len(rows) - shown:,} more {noun}: --json shows all")


def _row(change: Change) -> tuple[str, str, str, str, str]:
    return change.kind, named(change), change.before, change.after, f"{change.bytes_delta:+,}"
