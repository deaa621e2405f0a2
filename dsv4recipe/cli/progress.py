"""Floor 6, cli. A build as it happens: a bar on a terminal, plain lines otherwise, JSON lines under --json."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from dsv4recipe.builder.events import Done
from dsv4recipe.builder.zeros import told
from dsv4recipe.cli.cluster_view import cluster_line, worker_table
from dsv4recipe.cli.colours import rendered
from dsv4recipe.cli.output import console, print_json
from dsv4recipe.cli.pace import Pace
from dsv4recipe.plan.model import Plan
from dsv4recipe.units import counted, gigabytes, human_size

Event = dict[str, Any]
_EVERY_SECONDS = 10.0
_COMPILING = "compiling the encoders for this machine, once: some 20 seconds"
_EVERY_SECONDS_INSIDE = 60.0
"""Between lines while one file grows: that can take a day."""
_SLOW_SECONDS = 60.0


@contextlib.contextmanager
def watching(as_json: bool) -> Iterator[Callable[[Event], None]]:
    """Yields a function that shows build events. Progress goes to stderr, events to stdout under --json."""
    if as_json:
        yield _Json()
        return
    screen = console(stderr=True)
    shown: _Lines | _Bar = _Bar(screen) if sys.stderr.isatty() else _Lines()
    try:
        yield shown
    finally:
        shown.close()


class _Json:
    """Every event as a line, but for the pieces; on a cluster a summary of all workers every ten seconds instead."""

    def __init__(self) -> None:
        self.pace = Pace()
        self.told = time.monotonic()

    def __call__(self, event: Event) -> None:
        now = time.monotonic()
        self.pace.hear(event, now)
        if event["event"] not in ("written", "downloaded"):
            print_json({"format_version": 1, **event})
        if self.pace.workers and now - self.told > _EVERY_SECONDS:
            self.told = now
            print_json({"format_version": 1, **self.pace.event(now)})


def told_hollow(out: Path, plan: Plan, as_json: bool) -> None:
    """What a dry run on disk left."""
    size = sum(shard.file_bytes for shard in plan.shards)
    if as_json:
        print_json({"format_version": 1, **Done(out=str(out), headers_only=True, bytes=size).data()})
    else:
        click.echo(f"{out}: headers and holes, {human_size(size)} as a loader sees it; no weight was read", err=True)


class _Lines:
    """One line per shard, or of a large one as it grows, not too often; and the last word."""

    def __init__(self) -> None:
        self.total = self.work = self.there = 0.0
        self.downloaded = 0
        self.begun = self.told = time.monotonic()

    def __call__(self, event: Event) -> None:
        match event["event"]:
            case "plan_loaded":
                self.total = event["work"]
                click.echo(f"writing {counted(event['shards'], 'shard')}, {human_size(event['bytes'])}", err=True)
                _tell_download(event)
                _say_if_slow(event)
            case "resumed":
                self.work += event["work"]
                self.there += event["work"]
                done = counted(event["shards"], "shard") if event["shards"] else "a part of the file"
                click.echo(f"continuing: {done} done, {gigabytes(event['bytes'])}", err=True)
            case "downloaded":
                self.downloaded += event["bytes"]
                if time.monotonic() - self.told > _EVERY_SECONDS:
                    self.told = time.monotonic()
                    click.echo(f"{event['file']}: {gigabytes(self.downloaded)} downloaded in all", err=True)
            case "written":
                self.work += event["work"]
                self._tell(_EVERY_SECONDS_INSIDE, "")
            case "shard_done":
                self._tell(_EVERY_SECONDS, f"{event['file']}: ")
            case "done":
                click.echo(_last_word(event), err=True)
            case _:
                for line in _lines(event):
                    click.echo(line, err=True)

    def close(self) -> None:
        """Nothing is open."""

    def _tell(self, seconds: float, what: str) -> None:
        now = time.monotonic()
        if now - self.told > seconds:
            self.told = now
            rate = (self.work - self.there) / (now - self.begun)
            left = f", about {duration((self.total - self.work) / rate)} left" if rate else ""
            click.echo(f"{what}{100 * self.work / self.total:.0f} % written{left}", err=True)


class _Bar:
    """rich's bar over work. Where the plan has types that are found slowly, work is not bytes."""

    def __init__(self, screen: Any) -> None:
        self.screen = screen
        self.bars: Any = None
        self.live: Any = None
        self.task: Any = None
        self.download: Any = None
        self.pace = Pace()

    def workers(self) -> Any:
        """Returns the workers of a cluster, above the bar; nothing for a build by threads."""
        return worker_table(self.pace, time.monotonic())

    def __call__(self, event: Event) -> None:
        self.pace.hear(event, time.monotonic())
        match event["event"]:
            case "plan_loaded":
                self._open(event)
            case "resumed":
                self.bars.advance(self.task, event["work"])
            case "written":
                self.bars.advance(self.task, event["work"])
            case "downloaded":
                self.bars.advance(self.download, event["bytes"])
            case "shard_started":
                if not self.pace.workers:
                    self.bars.update(self.task, description=event["file"])
            case "shard_done":
                if self.pace.workers:
                    self.bars.update(self.task, description=f"{self.pace.done} of {self.pace.shards} shards")
            case "done":
                self.close()
                click.echo(_last_word(event), err=True)
            case _:
                for line in _lines(event):
                    self.screen.print(line, soft_wrap=True)

    def close(self) -> None:
        """Takes the bar from the screen."""
        if self.live is not None:
            self.live.stop()

    def _open(self, event: Event) -> None:
        from rich.console import Group
        from rich.live import Live
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TaskProgressColumn,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )

        _tell_download(event)
        _say_if_slow(event)
        amount = (TaskProgressColumn(),) if event["seconds"] else (DownloadColumn(), TransferSpeedColumn())
        columns = (TextColumn("{task.description}"), BarColumn(), *amount, TimeRemainingColumn())
        self.bars = Progress(*columns, console=self.screen)
        self.live = Live(console=self.screen, transient=True, get_renderable=lambda: Group(self.workers(), self.bars))
        self.live.start()
        self.task = self.bars.add_task("building", total=event["work"])
        if "download" in event:
            self.download = self.bars.add_task("downloading", total=event["download"]["bytes"])


def _say_if_slow(event: Event) -> None:
    if event["seconds"] and event["seconds"] > _SLOW_SECONDS:
        what = f"{event['slowest']} is slow to find"
        long = duration(event["seconds"])
        click.echo(f"{what}: about {long} in all, estimated from a moment's run on this machine", err=True)


def duration(seconds: float) -> str:
    """86000 → "23 h 53 min"; 75 → "1 min 15 s"; 8 → "8 s"."""
    whole = round(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {whole % 60} s" if minutes else f"{whole} s"


def _lines(event: Event) -> tuple[str, ...]:
    """Returns what is said in full of a rare event."""
    if event["event"] == "zeros":
        return (rendered(told(event["tensors"])),)
    return (_COMPILING,) if event["event"] == "compiling" else tuple(cluster_line(event))


def _tell_download(event: Event) -> None:
    """What comes from the hub, and how far it is checked."""
    found = event.get("download")
    if not found or not found["bytes"]:  # a folder, or a build that only has to be closed
        return
    click.echo(f"downloading {human_size(found['bytes'])} through {human_size(found['scratch'])} of scratch", err=True)
    if not found["whole_files"]:
        click.echo("note: most bytes of the files are not needed, so ranges come, and no sha256 is checked", err=True)
    elif found["scratch"] < found["whole_files"]:
        room = human_size(found["whole_files"])
        click.echo(f"note: the scratch holds no whole files, so no sha256 is checked; from {room} on it is", err=True)


def _last_word(event: Event) -> str:
    verb = "already built" if event["already"] else "built"
    return f"{verb}: {event['out']}, {human_size(event['bytes'])} of tensors"
