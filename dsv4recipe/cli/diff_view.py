"""Floor 6, cli. A diff as a person reads it: one screen."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

import click

from dsv4recipe.cli.output import console, table
from dsv4recipe.plan.diff import Change, PlanDiff
from dsv4recipe.units import gigabytes

ROWS = 16
"""Groups and facts that are shown, largest byte delta first; --json has all."""

_LAYERS = re.compile(r"\{([\d,-]+)\}")


def print_diff(found: PlanDiff) -> None:
    """`-` `+` `~` by module pattern with byte deltas, then what differs outside modules, then totals."""
    if found.empty:
        click.echo(f"no differences ({found.same:,} modules)")
        return
    changes = [*merged(found.removed), *merged(found.added), *merged(found.changed)]
    largest = sorted(changes, key=lambda change: -abs(change.bytes_delta))[:ROWS]
    rows = [_row(change) for change in changes if change in largest]
    if rows:
        console().print(table(("", "modules", "before", "after", "bytes"), rows, right=(4,)))
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


def merged(changes: Iterable[Change]) -> list[Change]:
    """Groups that differ in the last part of their name alone as one: `attn.{wo_a,wo_b} ×86`."""
    found: dict[tuple[str, str, str], list[Change]] = {}
    for change in changes:
        found.setdefault((change.pattern.rpartition(".")[0], change.before, change.after), []).append(change)
    return [_one(head, each) for (head, _, _), each in found.items()]


def _one(head: str, changes: Sequence[Change]) -> Change:
    if len(changes) == 1:
        return changes[0]
    names = ",".join(sorted(change.pattern.rpartition(".")[2] for change in changes))
    return replace(
        changes[0],
        pattern=f"{head}.{{{names}}}".removeprefix("."),
        count=sum(change.count for change in changes),
        bytes_before=sum(change.bytes_before for change in changes),
        bytes_after=sum(change.bytes_after for change in changes),
    )


def _short(match: re.Match[str]) -> str:
    """ "{2,4,6,8,10,42}" → "{2,4,…,42}"."""
    runs = match[1].split(",")
    return match[0] if len(runs) < 6 else f"{{{runs[0]},{runs[1]},…,{runs[-1]}}}"


def named(change: Change) -> str:
    """The pattern with its count: `model.layers.{0-42}.mlp.switch_mlp.gate_proj ×43`; long layer lists are cut."""
    return _LAYERS.sub(_short, change.pattern) + (f" ×{change.count}" if change.count > 1 else "")


def _row(change: Change) -> tuple[str, str, str, str, str]:
    return change.kind, named(change), change.before, change.after, f"{change.bytes_delta:+,}"
