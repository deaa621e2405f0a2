"""Floor 6, cli. A build as it happens: a bar on a terminal, plain lines otherwise, JSON lines under --json, a log."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from dsv4recipe.builder.events import Compiled, Compiling, Done, Downloaded, Event, Written, event_of
from dsv4recipe.cli.build_bar import Bar
from dsv4recipe.cli.build_lines import Lines
from dsv4recipe.cli.output import console, print_json
from dsv4recipe.cli.pace import Pace
from dsv4recipe.files.outputs import LOG, check_output
from dsv4recipe.plan.model import Plan
from dsv4recipe.units import human_size

_EVERY_SECONDS = 10.0
_SMALL = (Written, Downloaded, Compiled)
"""Events that come very often; a log has none of them."""


@contextlib.contextmanager
def watching(
    as_json: bool, weights: int = 0, quiet: bool = False, verbose: bool = False, log: Path | None = None
) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Gives a function that shows build events. Progress goes to stderr, events to stdout under --json, and both to no
    place where `quiet` says so. `weights` is how many the plan has. `log` gets every event as a line with its time.

    Raises RecipeError U003 where `log` is a file of another kind.
    """
    pace = Pace(weights)
    shown: Any = _Json(pace) if as_json else None
    if shown is None and not quiet:
        screen = console(stderr=True)
        shown = Bar(screen, pace, verbose) if sys.stderr.isatty() else Lines(pace, verbose)
    with _logging(log) as kept:

        def tell(data: dict[str, Any]) -> None:
            event = event_of(data)
            pace.hear(event, time.monotonic())
            kept(event)
            if shown is not None:
                shown(event)

        try:
            yield tell
        finally:
            if shown is not None:
                shown.close()


@contextlib.contextmanager
def _logging(log: Path | None) -> Iterator[Callable[[Event], None]]:
    """Adds events to a log: JSON lines, each with the time of day in UTC."""
    if log is None:
        yield lambda event: None
        return
    with check_output(log, LOG).open("a", encoding="utf-8") as file:

        def keep(event: Event) -> None:
            if not isinstance(event, _SMALL):
                now = datetime.now(UTC).isoformat(timespec="milliseconds")
                file.write(json.dumps({"format_version": 1, "time": now, **event.data()}, ensure_ascii=False) + "\n")
                file.flush()

        yield keep


class _Json:
    """Prints every event as a line, except pieces. On a cluster it prints a summary of all workers every ten
    seconds."""

    def __init__(self, pace: Pace) -> None:
        self.pace = pace
        self.told = time.monotonic()
        self.compiled = False

    def __call__(self, event: Event) -> None:
        now = time.monotonic()
        if not isinstance(event, _SMALL) and not (isinstance(event, Compiling) and self.compiled):
            print_json({"format_version": 1, **event.data()})
        self.compiled |= isinstance(event, Compiling)
        if self.pace.workers and now - self.told > _EVERY_SECONDS:
            self.told = now
            print_json({"format_version": 1, **self.pace.event(now)})

    def close(self) -> None:
        """Nothing is open."""


def told_hollow(out: Path, plan: Plan, as_json: bool) -> None:
    """Prints what a dry run wrote to disk."""
    size = sum(shard.file_bytes for shard in plan.shards)
    if as_json:
        print_json({"format_version": 1, **Done(out=str(out), headers_only=True, bytes=size).data()})
    else:
        click.echo(f"{out} holds headers and holes, {human_size(size)} for a loader; no weights were read", err=True)
