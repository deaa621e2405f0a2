"""Floor 6, cli. Prints an allocation: what the budget bought, by role, and the curve."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

import click

from dsv4recipe.cli.output import console
from dsv4recipe.cli.tables import print_table
from dsv4recipe.units import gigabytes, human_size


@contextlib.contextmanager
def measuring(quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """Yields a function that shows how many modules are measured: a bar on a terminal, one line otherwise."""
    screen = console(stderr=True)
    if quiet:
        yield lambda done, of: None
        return
    if not sys.stderr.isatty():
        yield lambda done, of: None if done else click.echo(f"measuring errors of {of:,} modules on a sample", err=True)
        return
    from rich.progress import Progress

    with Progress(console=screen, transient=True) as bars:
        task = bars.add_task("measuring", total=None)
        yield lambda done, of: bars.update(task, completed=done, total=of)


def print_allocation(data: dict[str, Any], runtime: str, output: str, dry_run: bool) -> None:
    """Prints `allocation_data` as text."""
    if "bytes" in data:
        _spent(data, runtime)
        _roles(data["roles"], data["base"]["name"])
    if dry_run:
        _curve(data)
    click.echo(f"errors: {data['evidence']['errors']}")
    click.echo(f"importance: {data['evidence']['importance']}")
    if data["evidence"]["quality"]:
        click.echo(f"loss on text of {data['base']['name']}: {data['evidence']['quality']}")
    if output:
        click.echo(f"wrote {output}: {len(data['rules'])} rules, plan {data['plan'][:12]}")


def _spent(data: dict[str, Any], runtime: str) -> None:
    left = data["budget"] - data["bytes"]
    click.echo(f"{human_size(data['bytes'])} of tensors for {runtime}, {human_size(left)} below the budget")
    gap = f"{100 * (data['error'] / data['bound'] - 1):.3f} % above" if data["bound"] > 0 else "as good as"
    click.echo(f"weighted error {data['error']:.6g}, {gap} the lower bound for any choice within the budget")
    base = data["base"]
    if base["error"]:
        change = 100 * (data["error"] / base["error"] - 1)
        click.echo(f"{base['name']}: {base['error']:.6g} in {human_size(base['bytes'])}; that is {change:+.1f} %")
    click.echo()


def _roles(rows: list[dict[str, Any]], base: str) -> None:
    heads = ("role", "modules", f"GB {base}", "GB", "bits/w", "bits/w", "error", "error", "weighted", "weighted")
    body = [
        (
            row["role"],
            f"{row['modules']:,}",
            *(f"{row[side]['bytes'] / 1e9:.3f}" for side in ("before", "after")),
            *(f"{row[side]['bytes'] * 8 / row['weights']:.3f}" for side in ("before", "after")),
            *(_figure(row[side]["error"]) for side in ("before", "after")),
            *(_figure(row[side]["weighted"]) for side in ("before", "after")),
        )
        for row in rows
    ]
    print_table(heads, body, tuple(range(1, 10)))
    click.echo(
        f"each pair shows {base}, then the new recipe; error is Σ‖ŵ−w‖²/‖w‖² over modules, weighted by importance"
    )
    click.echo()


def _figure(value: float | None) -> str:
    return "?" if value is None else f"{value:.4g}"


def _curve(data: dict[str, Any]) -> None:
    most = data["curve"][0]["error"] or 1.0
    rows = [
        (
            f"{point['bytes']:,}",
            gigabytes(point["bytes"]),
            f"{point['bits_per_weight']:.3f}",
            f"{point['error']:.5g}",
            f"{point['bound']:.5g}",
            "█" * round(30 * point["error"] / most),
        )
        for point in data["curve"]
    ]
    heads = ("tensor bytes", "GB / GiB", "bits/w", "error", "bound", "")
    print_table(heads, rows, range(5))
    click.echo("error is weighted by importance; bound is the lower bound for any choice")
    base = data["base"]
    if base["error"] is not None:
        click.echo(f"{base['name']}: {base['error']:.5g} in {human_size(base['bytes'])}")
    click.echo()
