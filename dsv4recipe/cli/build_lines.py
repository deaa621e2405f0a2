"""Floor 6, cli. A build without a terminal: one line per shard, or of a large one as it grows; and the last words."""

from __future__ import annotations

import time

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
from dsv4recipe.cli.build_words import first_words, last_words, rare, resumed, standing
from dsv4recipe.cli.pace import Pace
from dsv4recipe.units import counted, gigabytes, human_size

_EVERY_SECONDS = 10.0
_EVERY_SECONDS_INSIDE = 60.0
"""Between lines while one file grows: that can take a day."""


class Lines:
    """Plain lines on stderr."""

    def __init__(self, pace: Pace, verbose: bool = False) -> None:
        self.pace = pace
        self.verbose = verbose
        self.downloaded = 0
        self.compiled = False
        self.told = time.monotonic()

    def __call__(self, event: Event) -> None:
        now = time.monotonic()
        match event:
            case PlanLoaded():
                self._say(f"writing {counted(event.shards, 'shard')}, {human_size(event.bytes)}")
                self._say(*first_words(event))
            case Resumed():
                self._say(resumed(event))
            case Downloaded():
                self.downloaded += event.bytes
                if now - self.told > _EVERY_SECONDS:
                    self._say(f"{event.file}: {gigabytes(self.downloaded)} downloaded in all")
            case ShardStarted():
                if self.verbose:
                    self._say(f"{event.file}: started, {human_size(event.bytes)}")
            case Written():
                if now - self.told > _EVERY_SECONDS_INSIDE:
                    self._say(standing(self.pace, now))
            case ShardDone():
                self._say(f"{event.file}: {standing(self.pace, now)}")
            case Done():
                self._say(*last_words(event, self.pace, now))
            case Compiling():
                self._say(*(rare(event) if not self.compiled else ()))
                self.compiled = True
            case _:
                self._say(*rare(event))

    def close(self) -> None:
        """Nothing is open."""

    def _say(self, *lines: str) -> None:
        for line in lines:
            self.told = time.monotonic()
            click.echo(line, err=True)
