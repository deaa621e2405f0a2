"""Floor 6, cli. A build on a terminal: a bar with its share, shard n of N, rates and the time left."""

from __future__ import annotations

import time
from typing import Any

import click

from dsv4recipe.builder.events import (
    Compiling,
    Done,
    Downloaded,
    Event,
    PlanLoaded,
    Resumed,
    ShardDone,
    ShardStarted,
    Written,
)
from dsv4recipe.cli.build_words import duration, first_words, last_words, rare, rate, resumed
from dsv4recipe.cli.cluster_view import worker_table
from dsv4recipe.cli.pace import Pace


class Bar:
    """rich's bar over work. Where the plan has types that are found slowly, work is not bytes."""

    def __init__(self, screen: Any, pace: Pace, verbose: bool = False) -> None:
        self.screen = screen
        self.pace = pace
        self.verbose = verbose
        self.compiled = False
        self.bars: Any = None
        self.live: Any = None
        self.task: Any = None
        self.download: Any = None

    def __call__(self, event: Event) -> None:
        match event:
            case PlanLoaded():
                self._open(event)
            case Resumed():
                self._say(resumed(event))
                self.bars.update(self.task, completed=self.pace.work)
            case Written():
                self.bars.update(self.task, completed=self.pace.work)
            case Downloaded():
                self.bars.advance(self.download, event.bytes)
            case ShardStarted() | ShardDone():
                if self.verbose:
                    self._say(f"{event.file}: {event.event.removeprefix('shard_')}")
            case Done():
                self.close()
                for line in last_words(event, self.pace, time.monotonic()):
                    click.echo(line, err=True)
            case Compiling():
                if not self.compiled:
                    self._say(rare(event)[0])
                self.compiled = True
            case _:
                for line in rare(event):
                    self._say(line)

    def close(self) -> None:
        """Takes the bar from the screen."""
        if self.live is not None:
            self.live.stop()
            self.live = None

    def _say(self, line: str) -> None:
        from rich.text import Text

        self.screen.print(Text.from_ansi(line))

    def _open(self, event: PlanLoaded) -> None:
        from rich.console import Group
        from rich.live import Live
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
        from rich.table import Column

        for line in first_words(event):
            click.echo(line, err=True)
        facts = TextColumn("{task.fields[facts]}", table_column=Column(no_wrap=True))
        columns = (TextColumn("{task.description}"), BarColumn(bar_width=None), TaskProgressColumn(), facts)
        self.bars = Progress(*columns, console=self.screen, expand=True)
        self.task = self.bars.add_task("", total=event.work, facts="")
        if event.download:
            self.download = self.bars.add_task("download", total=event.download["bytes"], facts="")

        def shown() -> Group:
            now = time.monotonic()
            self.bars.update(self.task, description=self._at(), facts=self.facts(now))
            return Group(worker_table(self.pace, now), self.bars)

        self.live = Live(console=self.screen, transient=True, get_renderable=shown)
        self.live.start()

    def _at(self) -> str:
        """Returns "shard 3/45": the one that is being written."""
        return f"shard {min(self.pace.done + 1, self.pace.shards)}/{self.pace.shards}"

    def facts(self, now: float) -> str:
        """Returns what stands behind the bar, as much as the terminal has room for."""
        pace = self.pace
        if pace.compiling is not None and not pace.bytes_per_second(now):
            return "compiling"
        seconds = pace.seconds_left(now)
        parts = [rate(pace.bytes_per_second(now))]
        if pace.weights and self.screen.width >= 60:
            parts.append(rate(pace.weights_per_second(now), "w/s"))
        parts.append("" if seconds is None else f"{duration(seconds)} left")
        return "  ".join(part for part in parts if part)
