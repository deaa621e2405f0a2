"""Floor 5, cli. A build as it happens: a bar on a terminal, plain lines otherwise, JSON lines under --json."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import click

from dsv4recipe.cli.cluster_view import cluster_line, worker_table
from dsv4recipe.cli.output import console, print_json
from dsv4recipe.cli.pace import Pace
from dsv4recipe.units import counted, gigabytes, human_size

Event = dict[str, Any]
_EVERY_SECONDS = 10.0
_COMPILING = "compiling the encoders for this machine, once: some 20 seconds"


@contextlib.contextmanager
def watching(as_json: bool) -> Iterator[Callable[[Event], None]]:
    """A function that shows build events. Progress goes to stderr, events to stdout under --json."""
    if as_json:
        yield _Json()
        return
    screen = console(stderr=True)
    if not screen.is_terminal:
        yield _Lines()
        return
    from rich.console import Group
    from rich.live import Live
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    bars = Progress(*columns, console=screen)
    shown = _Bar(bars)
    with Live(console=screen, transient=True, get_renderable=lambda: Group(shown.workers(), bars)):
        yield shown


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


class _Lines:
    """One line per shard, at most every ten seconds, and the last word."""

    def __init__(self) -> None:
        self.total = self.written = self.downloaded = 0
        self.told = time.monotonic()

    def __call__(self, event: Event) -> None:
        match event["event"]:
            case "plan_loaded":
                self.total = event["bytes"]
                click.echo(f"writing {counted(event['shards'], 'shard')}, {human_size(self.total)}", err=True)
                _tell_download(event)
            case "resumed":
                self.written = event["bytes"]
                click.echo(f"continuing: {counted(event['shards'], 'shard')} done, {gigabytes(self.written)}", err=True)
            case "downloaded":
                self.downloaded += event["bytes"]
                if time.monotonic() - self.told > _EVERY_SECONDS:
                    self.told = time.monotonic()
                    click.echo(f"{event['file']}: {gigabytes(self.downloaded)} downloaded in all", err=True)
            case "shard_done":
                self.written += event["bytes"]
                if time.monotonic() - self.told > _EVERY_SECONDS:
                    self.told = time.monotonic()
                    click.echo(f"{event['file']}: {100 * self.written / self.total:.0f} % written", err=True)
            case "done":
                click.echo(_last_word(event), err=True)
            case _:
                for line in _lines(event):
                    click.echo(line, err=True)


class _Bar:
    """rich's bar over written bytes; a shard counts when it is durable, so the bar never goes back."""

    def __init__(self, bars: Any) -> None:
        self.bars = bars
        self.task: Any = None
        self.download: Any = None
        self.pace = Pace()

    def workers(self) -> Any:
        """The workers of a cluster, above the bar; nothing for a build by threads."""
        return worker_table(self.pace, time.monotonic())

    def __call__(self, event: Event) -> None:
        self.pace.hear(event, time.monotonic())
        match event["event"]:
            case "plan_loaded":
                self.task = self.bars.add_task("building", total=event["bytes"])
                _tell_download(event)
                if "download" in event:
                    self.download = self.bars.add_task("downloading", total=event["download"]["bytes"])
            case "downloaded":
                self.bars.advance(self.download, event["bytes"])
            case "resumed":
                self.bars.update(self.task, completed=event["bytes"])
            case "written":
                self.bars.advance(self.task, event["bytes"])
            case "shard_started":
                if not self.pace.workers:
                    self.bars.update(self.task, description=event["file"])
            case "shard_done":
                if self.pace.workers:
                    self.bars.update(self.task, description=f"{self.pace.done} of {self.pace.shards} shards")
            case "done":
                self.bars.console.print(_last_word(event), soft_wrap=True)
            case _:
                for line in _lines(event):
                    self.bars.console.print(line, soft_wrap=True)


def _lines(event: Event) -> tuple[str, ...]:
    """What is said in full of a rare event."""
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
