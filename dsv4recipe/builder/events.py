"""Floor 4, builder. Defines the events of a build: dicts for `on_event`, lines for `build --json`. This module is pure.

`schemas/events.schema.json` is generated from these classes (`python scripts/generate.py`). Events and fields may be
added; existing ones keep their names and meanings.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

FORMAT_VERSION = 1


def _optional(default: Any) -> Any:
    """Returns a field that the event leaves out if it has this value."""
    return field(default=default, metadata={"absent": default})


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """An event of a build. `data` returns the dict that listeners get."""

    event: ClassVar[str]

    def data(self) -> dict[str, Any]:
        """Returns the event as a plain dict: its name, and every field that it has."""
        values = ((each, getattr(self, each.name)) for each in fields(self))
        said = {f.name: value for f, value in values if not ("absent" in f.metadata and value == f.metadata["absent"])}
        return {"event": self.event, **said}


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanLoaded(Event):
    """The build begins. `bytes` is the size of all files, `work` is what a progress bar should count, and `memory` is
    the largest need of memory in bytes. `seconds` is an estimate if a type of number takes long to fit (`slowest`),
    else null. `download` is there for a source on the hub: bytes to download, bytes of scratch, and the scratch size
    from which whole files are checked."""

    event = "plan_loaded"
    plan: str
    shards: int
    bytes: int
    work: float
    memory: int
    seconds: float | None
    slowest: str
    download: dict[str, int] | None = field(default=None, metadata={"absent": None})


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed(Event):
    """An earlier build left finished shards, or a part of one file: `bytes` of them, worth `work`."""

    event = "resumed"
    shards: int
    bytes: int
    work: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiling(Event):
    """An encoder is compiled for this machine, because it is used on it for the first time. `build --json` prints only
    the first of these."""

    event = "compiling"


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled(Event):
    """The encoder is compiled, and work goes on. `build --json` does not print it."""

    event = "compiled"


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardStarted(Event):
    """Work on a file of `bytes` begins, on `worker` if that is another machine."""

    event = "shard_started"
    file: str
    bytes: int
    worker: str = _optional("")


@dataclass(frozen=True, slots=True, kw_only=True)
class Written(Event):
    """Another `bytes` of a file are written, worth `work`. `build --json` does not print it."""

    event = "written"
    file: str
    bytes: int
    work: float
    worker: str = _optional("")


@dataclass(frozen=True, slots=True, kw_only=True)
class Downloaded(Event):
    """Another `bytes` of a source file have come from the hub. `build --json` does not print it."""

    event = "downloaded"
    file: str
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardDone(Event):
    """A file is durable under its name and recorded in the journal."""

    event = "shard_done"
    file: str
    bytes: int
    sha256: str
    worker: str = _optional("")


@dataclass(frozen=True, slots=True, kw_only=True)
class ZerosFound(Event):
    """Matrices of the source have stretches of only zeros. Each name has its `file`, and how many (`zero`) of how many
    (`of`) stretches of 512 bytes are zero. If more than half of a matrix is zero, the build fails."""

    event = "zeros"
    tensors: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Done(Event):
    """The bundle is complete at `out`. `already` says that it was complete before, and `bytes` counts its tensors. With
    `headers_only` it has holes instead of data, and `already` is left out."""

    event = "done"
    out: str
    bytes: int
    already: bool | None = _optional(None)
    headers_only: bool = _optional(False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster(Event):
    """A Dask scheduler has answered; its workers are checked next."""

    event = "cluster"
    scheduler: str
    dashboard: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerJoined(Event):
    """A worker sees the same as the build, and gets work."""

    event = "worker_joined"
    worker: str
    name: str
    host: str
    threads: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerRefused(Event):
    """A worker would not build the same bundle, and gets no work."""

    event = "worker_refused"
    worker: str
    reasons: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerLost(Event):
    """A worker is gone; the `shards` that it worked on are made again."""

    event = "worker_lost"
    worker: str
    shards: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardAgain(Event):
    """An attempt at a file has failed; another one follows."""

    event = "shard_again"
    file: str
    worker: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageAway(Event):
    """The shared storage has stopped working; the build waits and tries again."""

    event = "storage_away"
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress(Event):
    """A summary every ten seconds of a build on a cluster, only from `build --json`: shards, bytes and rate by
    worker."""

    event = "progress"
    shards: int
    of: int
    bytes: int
    bytes_per_second: int
    seconds_left: int | None
    workers: dict[str, Any]


EVENTS: tuple[type[Event], ...] = (
    PlanLoaded, Resumed, Compiling, Compiled, ShardStarted, Written, Downloaded, ShardDone, ZerosFound, Done,
    Cluster, WorkerJoined, WorkerRefused, WorkerLost, ShardAgain, StorageAway, Progress,
)  # fmt: skip

_KINDS = {kind.event: kind for kind in EVENTS}


def event_of(data: Mapping[str, Any]) -> Event:
    """Returns the event of a dict that a listener got: the inverse of `Event.data`. Raises KeyError for a name that no
    event has."""
    return _KINDS[data["event"]](**{name: value for name, value in data.items() if name != "event"})


_TYPES: dict[Any, dict[str, Any]] = {
    str: {"type": "string"}, int: {"type": "integer"}, float: {"type": "number"}, bool: {"type": "boolean"},
    types.NoneType: {"type": "null"}, Any: {},
}  # fmt: skip


def events_schema() -> dict[str, Any]:
    """Returns the JSON schema (draft-07) of one line of `build --json`."""
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "An event of dsv4recipe build --json",
        "oneOf": [_schema(kind) for kind in EVENTS],
    }


def _schema(kind: type[Event]) -> dict[str, Any]:
    hints = typing.get_type_hints(kind)
    own = fields(kind)
    properties = {"event": {"const": kind.event}, "format_version": {"const": FORMAT_VERSION}}
    properties |= {each.name: _type(hints[each.name], "absent" in each.metadata) for each in own}
    return {
        "title": kind.event,
        "description": " ".join((kind.__doc__ or "").split()),
        "type": "object",
        "properties": properties,
        "required": ["event", *(each.name for each in own if "absent" not in each.metadata)],
    }


def _type(hint: Any, optional: bool) -> dict[str, Any]:
    parts = typing.get_args(hint)
    origin = typing.get_origin(hint)
    if origin is types.UnionType:
        kinds = [part for part in parts if not (optional and part is types.NoneType)]
        return _type(kinds[0], optional) if len(kinds) == 1 else {"anyOf": [_type(kind, optional) for kind in kinds]}
    if origin is list:
        return {"type": "array", "items": _type(parts[0], optional)}
    if origin is dict:
        return {"type": "object", "additionalProperties": _type(parts[1], optional)}
    return dict(_TYPES[hint])
