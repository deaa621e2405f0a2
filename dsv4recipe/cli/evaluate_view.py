"""Floor 6, cli. Prints an evaluation: what it needs, how far it is, and the figures."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

import click

from dsv4recipe.cli.output import console
from dsv4recipe.cli.tables import print_table
from dsv4recipe.units import human_size

if TYPE_CHECKING:
    from dsv4recipe.evaluation.text import Text
    from dsv4recipe.forward.needs import Needs

_EVERY = 15.0
"""Seconds between two lines of progress if there is no terminal."""


class Shown:
    """Prints what an evaluation needs before it starts, then its progress: a bar on a terminal, lines otherwise."""

    def __init__(self, quiet: bool) -> None:
        self.quiet = quiet
        self.screen = console(stderr=True)
        self.bars: Any = None
        self.tasks: dict[str, Any] = {}
        self.began: dict[str, float] = {}
        self.last = 0.0

    def __enter__(self) -> Shown:
        if not self.quiet and sys.stderr.isatty():
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            self.bars = Progress(*columns, console=self.screen, transient=True)
            self.bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.bars is not None:
            self.bars.stop()

    def before(self, found: Needs, text: Text) -> None:
        """Prints what the evaluation needs."""
        if self.quiet:
            return
        left = f" ({text.left:,} left over)" if text.left else ""
        click.echo(f"{text.tokens:,} tokens in {len(text.sequences):,} sequences{left}", err=True)
        disk = f", {human_size(found.disk)} of disk" if found.disk else ""
        click.echo(
            f"this takes {human_size(found.memory)} of memory{disk} and about {duration(found.seconds)}", err=True
        )

    def told(self, what: str, done: int, total: int) -> None:
        """Prints how many layers of a model or a part are done."""
        if self.bars is not None:
            if what not in self.tasks:
                for task in self.tasks.values():
                    self.bars.update(task, visible=False)
                self.tasks[what] = self.bars.add_task(what, total=total)
            self.bars.update(self.tasks[what], completed=done)
            return
        now = time.monotonic()
        began = self.began.setdefault(what, now)
        if self.quiet or now - self.last < _EVERY:
            return
        self.last = now
        left = f", about {duration((now - began) / done * (total - done))} left" if done and now > began else ""
        click.echo(f"{what}: {done} of {total} layers{left}", err=True)


def duration(seconds: float) -> str:
    """ "40 s", "12 min", "3.5 h"."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def print_evaluation(data: dict[str, Any], output: str) -> None:
    """Prints the result of `evaluate` as text."""
    data = _named(data)
    other = data["b"]["name"] if "b" in data else "source"
    names = ", ".join(each["name"] for each in data["text"]["files"])
    click.echo(f"{data['a']['name']} against {other}: {data['tokens']:,} predictions on {names}")
    rows = [(data["a"]["name"], data), (other, data["against"])]
    if "to_source" in data:
        rows.append(("source", data["to_source"]["source"]))
    heads = ("", "NLL", "95 %", "perplexity", *(("exact answers",) if "answers" in data else ()))
    body = []
    for name, row in rows:
        loss = (f"{row['nll']:.4f}", _span(row["nll_interval"], "{:.3f}"), f"{row['perplexity']:.3f}")
        body.append((name, *loss, *_answers(row)))
    print_table(heads, body, (1, 2, 3, 4), ("95 %",))
    click.echo()
    gaps = [(f"{data['a']['name']} to {other}", data)]
    if "to_source" in data:
        gaps += [(f"{data[side]['name']} to source", data["to_source"][side]) for side in ("a", "b")]
    _gaps("", gaps)
    if "to_source" in data:
        change = data["to_source"]["kl_difference"]
        span = _span(change["interval"], "{:+.3g}")
        click.echo(f"KL to the source, {data['a']['name']} minus {other}: {change['mean']:+.3g} (95 %: {span})")
    if "texts" in data:
        click.echo()
        _gaps("text", [(each["name"], each) for each in data["texts"]])
    if "by" in data:
        click.echo(f"\neach {data['by']['way']} of {data['a']['name']} alone, with everything else from the source:")
        parts = sorted(data["by"]["parts"], key=lambda part: -part["kl"]["mean"])
        _gaps(data["by"]["way"], [(part["part"], part) for part in parts])
        total = sum(part["kl"]["mean"] for part in parts)
        click.echo(f"the parts add up to KL {total:.3g}; together they have {data['kl']['mean']:.3g}")
    if "runtime" in data:
        made_of = ", ".join(f"{name} {version}" for name, version in data["runtime"]["versions"].items())
        click.echo(f"\n{data['a']['name']}: {made_of}; the others by the reference implementation")
        for name in data["runtime"]["replaced"]:
            click.echo(f"a stand-in ran instead of {name}, which this machine cannot run")
    click.echo(f"\nmeasured on {data['source']['name']}, {data['source']['bytes']:,} B; they hold for no other model")
    if output:
        click.echo(f"wrote {output}")


def _named(data: dict[str, Any]) -> dict[str, Any]:
    """Returns the same, where A's name says that a runtime ran it."""
    if "runtime" not in data:
        return data
    return data | {"a": data["a"] | {"name": f"{data['a']['name']} in {data['runtime']['name']}"}}


def _gaps(head: str, rows: list[tuple[str, dict[str, Any]]]) -> None:
    body = []
    for name, row in rows:
        kl = row["kl"] if isinstance(row["kl"], dict) else {"mean": row["kl"], "interval": None}
        more = [f"{kl[key]:.3g}" if key in kl else "" for key in ("median", "p99")]
        loss = (f"{row['delta_nll']:+.4f}", _span(row.get("delta_nll_interval"), "{:+.4f}"))
        body.append(
            (name, f"{kl['mean']:.3g}", _span(kl["interval"], "{:.2g}"), *more, f"{100 * row['same_top']:.2f} %", *loss)
        )
    heads = (head, "KL", "95 %", "median", "p99", "same top", "ΔNLL", "95 %")
    print_table(heads, body, range(1, 8), ("median", "95 %"))


def _span(interval: list[float] | None, form: str) -> str:
    return "" if not interval else f"{form.format(interval[0])} to {form.format(interval[1])}"


def _answers(row: dict[str, Any]) -> tuple[str, ...]:
    found = row.get("answers")
    return () if found is None else (f"{found['exact']:,} of {found['chats']:,}",)
