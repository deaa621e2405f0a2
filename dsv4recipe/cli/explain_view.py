"""Floor 6, cli. Prints an explanation."""

from __future__ import annotations

import click

from dsv4recipe.cli.tables import print_table
from dsv4recipe.errors import Where
from dsv4recipe.plan.explain import Explanation
from dsv4recipe.units import human_size


def print_explanation(found: Explanation) -> None:
    """Prints what it is, the rule that won and those that lost, what it becomes, its entries, its names, its chain."""
    _what(found)
    _rules(found)
    _module(found)
    _names(found)
    click.echo("\nwhat it is made from, and what is made from it")
    kinds: dict[str, list[str]] = {}
    for kind, name in found.chain:
        kinds.setdefault(kind, []).append(name)
    for kind, names in kinds.items():
        more = f", and {len(names) - 4:,} more" if len(names) > 4 else ""
        click.echo(f"  {kind:<7} {', '.join(names[:4])}{more}")


def _what(found: Explanation) -> None:
    group, slot = found.group, found.group.slot
    place = "global" if slot.layer is None else f"layer {slot.layer}"
    place += ", MTP" if slot.block == "mtp" else ""
    words = " ".join(word for word in (slot.row.role, slot.row.projection) if word)
    click.echo(f"{group.names}")
    click.echo(f"  {words}, {place}, stored as {group.source.stored}, shape {list(group.shape)}")
    if found.expert is not None:
        click.echo(f"  expert {found.expert}: all {group.experts} experts of a projection become one module")


def _rules(found: Explanation) -> None:
    click.echo("\nrules")
    if found.winner is None:
        click.echo("  no rule won, because target.mtp: drop leaves it out")
    else:
        click.echo(f"  won   {found.winner.rule}  {_place(found.winner.where)}")
    for lost in found.losers:
        click.echo(f"  lost  {lost.rule}  {_place(lost.where)}\n        {lost.why}")


def _place(where: Where) -> str:
    return f"{where.file}:{where.line}" if where.line else where.file


def _module(found: Explanation) -> None:
    module = found.module
    click.echo("\nbecomes")
    if module is None:
        click.echo("  nothing, because it is dropped")
        return
    click.echo(f"  {module.format.label}{', exact' if module.lossless else ''}")
    click.echo(
        f"  {human_size(module.bytes)}, {module.bytes * 8 / module.weights:.3f} bits per weight, in {found.shard}"
    )
    for part in module.parts:
        click.echo(f"    {module.disk}{part.suffix}  {part.dtype} {list(part.shape)}")
    for key, entry in found.overrides.items():
        click.echo(f"  config.json  {key}: {_entry(entry)}")
    if not found.overrides and module.format.quantization() is not None:
        click.echo(f"  config.json  it has no entry of its own; the global one applies, {_entry(found.globals_)}")


def _entry(entry: object) -> str:
    if not isinstance(entry, dict):
        return str(entry)
    return f"{entry.get('bits')}-bit {entry.get('mode')} g{entry.get('group_size')}"


def _names(found: Explanation) -> None:
    click.echo("\nnames")
    rows = []
    for target, names in found.names.items():
        disks = dict.fromkeys(stem for _, stem in names.disk)
        rows.append((target, names.path or "not loaded", " or ".join(disks)))
    print_table(("target", "module path", "on disk"), rows)
