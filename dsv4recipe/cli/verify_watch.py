"""Floor 6, cli. A proof as it runs: each step when it is done, and how far the present one is."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any

import click

from dsv4recipe.cli.output import console
from dsv4recipe.cli.verify_view import print_step
from dsv4recipe.units import gigabytes

_EVERY_SECONDS = 10.0


class VerifyWatch:
    """Shows events of `verify`: a bar on a terminal, a line now and then elsewhere; nothing with `quiet`."""

    def __init__(self, quiet: bool) -> None:
        self.quiet = quiet
        self.shown: list[str] = []
        self.told = time.monotonic()
        self.bars: Any = None
        self.task: Any = None

    def __enter__(self) -> VerifyWatch:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._still()

    def tell(self, event: dict[str, Any]) -> None:
        """Shows one event."""
        if self.quiet:
            return
        match event["event"]:
            case "step":
                self._begin(event["name"])
            case "checked":
                self._checked(event)
            case "step_done":
                self._still()
                self.shown.append(event["step"].name)
                print_step(event["step"], event.get("outlooks", ()), event.get("roles", ()))

    def _begin(self, name: str) -> None:
        self.told = time.monotonic()
        if not sys.stderr.isatty():
            return
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
        self.bars = Progress(*columns, console=console(stderr=True), transient=True)
        self.bars.start()
        self.task = self.bars.add_task(name, total=None)

    def _checked(self, event: dict[str, Any]) -> None:
        done, of = event["done"], event["of"]
        if self.bars is not None:
            self.bars.update(self.task, completed=done, total=of)
        elif time.monotonic() - self.told > _EVERY_SECONDS:
            self.told = time.monotonic()
            what = gigabytes(done) if event["unit"] == "bytes" else f"{done:,} {event['unit']}"
            click.echo(f"{event['name']}: {100 * done / max(1, of):.0f} %, {what}", err=True)

    def _still(self) -> None:
        if self.bars is not None:
            self.bars.stop()
            self.bars = None
