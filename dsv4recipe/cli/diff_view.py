"""Floor 5, cli. A diff as a person reads it."""

from __future__ import annotations

import click

from dsv4recipe.cli.output import console, table
from dsv4recipe.plan.diff import Change, PlanDiff
from dsv4recipe.units import gigabytes


def print_diff(found: PlanDiff) -> None:
    """`-` `+` `~` by module pattern with byte deltas, then what differs outside modules, then totals."""
    if found.empty:
        click.echo(f"no differences ({found.same:,} modules)")
        return
    rows = [_row(change) for change in (*found.removed, *found.added, *found.changed)]
    if rows:
        console().print(table(("", "modules", "before", "after", "bytes"), rows, right=(4,)))
    for what, old, new in found.facts:
        click.echo(f"~ {what}: {old} → {new}" if new else f"~ {what}: {old}")
    click.echo(f"{found.same:,} modules are the same")
    delta = found.bytes_delta
    click.echo(f"{found.bytes_before:,} B → {found.bytes_after:,} B: {delta:+,} B ({gigabytes(delta)})")


def _row(change: Change) -> tuple[str, str, str, str, str]:
    name = change.pattern + (f" ×{change.count}" if change.count > 1 else "")
    return change.kind, name, change.before, change.after, f"{change.bytes_delta:+,}"
