"""A build that is interrupted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def stop_after_three(done: list[str]) -> Callable[[dict[str, Any]], None]:
    """A listener that interrupts a build after three shards; their files go into `done`."""

    def listener(event: dict[str, Any]) -> None:
        if event["event"] == "shard_done":
            done.append(str(event["file"]))
            if len(done) == 3:
                raise KeyboardInterrupt

    return listener
