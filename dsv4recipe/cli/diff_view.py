"""Floor 6, cli. Prints a diff on one screen."""

from __future__ import annotations

from collections.abc import Sequence

import click

from dsv4recipe.cli.colours import tinted
from dsv4recipe.cli.tables import print_table
from dsv4recipe.plan.diff import Change, PlanDiff
from dsv4recipe.plan.diff_groups import ROWS, merged, named
from dsv4recipe.plan.three_way import ThreeWay
from dsv4recipe.units import gigabytes


def print_diff(found: PlanDiff, every: bool = False) -> None:
    """Prints `-` `+` `~` by module pattern with byte deltas, then what differs outside modules, then totals. `every`
    prints all groups and facts, not only the largest."""
    if found.empty:
        click.echo(f"no differences ({found.same:,} modules)")
        return
    changes = _changes(found)
    shown = len(changes) + len(found.facts) if every else ROWS
    largest = sorted(changes, key=lambda change: -abs(change.bytes_delta))[:shown]
    rows = [_row(change) for change in changes if change in largest]
    if rows:
        print_table(("", "modules", "before", "after", "bytes"), rows, (4,))
        _more(changes, shown, "groups of modules")
    for what, old, new in found.facts[:shown]:
        click.echo(f"{tinted('~')} {what}: {old or 'none'} → {new or 'none'}")
    _more(found.facts, shown, "facts")
    noun = "module is" if found.same == 1 else "modules are"
    click.echo(f"{found.same:,} {noun} the same")
    for name, size in (("before", found.bytes_before), ("after ", found.bytes_after)):
        click.echo(f"{name} {size:>19,} B  {gigabytes(size)}")
    delta = found.bytes_delta
    click.echo(f"delta  {delta:>+19,} B  {delta / 1e9:+.3f} GB / {delta / 2**30:+.3f} GiB")


def markdown(found: PlanDiff, before: str, after: str) -> str:
    """Returns the whole diff as a comment for a review: totals first, then a table. Nothing is shortened."""
    delta = found.bytes_delta
    lines = [
        f"**{before} → {after}**: {found.bytes_before:,} B → {found.bytes_after:,} B "
        f"({delta:+,} B, {delta / 1e9:+.3f} GB / {delta / 2**30:+.3f} GiB)",
        "",
    ]
    changes = _changes(found)
    if changes:
        lines += ["| | modules | before | after | bytes |", "|---|---|---|---|---:|"]
        for change in changes:
            kind, name, old, new, size = _row(change)
            lines.append(f"| `{kind}` | `{name}` | {old} | {new} | {size} |")
        lines.append("")
    lines += [f"* {what}: {old or 'none'} → {new or 'none'}" for what, old, new in found.facts]
    lines.append(f"{found.same:,} {'module is' if found.same == 1 else 'modules are'} the same.")
    return "\n".join(lines) + "\n"


def print_three_way(found: ThreeWay, mine: str, theirs: str) -> None:
    """What either side changes alone, what both change alike, and where they conflict."""
    parts = (
        (f"only {mine} changes", found.mine, ("before", "after")),
        (f"only {theirs} changes", found.theirs, ("before", "after")),
        ("both change in the same way", found.alike, ("before", "after")),
        ("CONFLICT: both change, and not in the same way", found.conflicts, (mine, theirs)),
    )
    for head, part, names in parts:
        rows = [_row(change) for change in _changes(part)]
        if rows:
            click.echo(f"{head}:" if not head.startswith("CONFLICT") else tinted("CONFLICT") + head[8:] + ":")
            print_table(("", "modules", *names, "bytes"), rows, (4,))
            click.echo("")
    click.echo("they conflict" if found.conflicting else "they go together")


def _changes(found: PlanDiff) -> list[Change]:
    """Returns what is removed, added and changed, in few groups."""
    return [*merged(found.removed), *merged(found.added), *merged(found.changed)]


def _more(rows: Sequence[object], shown: int, noun: str) -> None:
    if len(rows) > shown:
        click.echo(f"  and {len(rows) - shown:,} more {noun}: --all shows them")


def _row(change: Change) -> tuple[str, str, str, str, str]:
    return change.kind, named(change), change.before, change.after, f"{change.bytes_delta:+,}"
