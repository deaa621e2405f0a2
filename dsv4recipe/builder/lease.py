"""Floor 4, builder. The lease: one builder per output, on one machine and across machines that share a folder.

A file that appears whole or not at all, with machine, process, a random token and a counter that its holder moves.
It is stale when its process is gone from this machine or this machine has restarted since; elsewhere, when the
counter stands still for a whole time-out by our own monotonic clock. Wall clocks are never compared.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from dsv4recipe.builder.process import Process, started
from dsv4recipe.errors import RecipeError, Where
from dsv4recipe.files import disk

NAME = "lease.json"
_BEAT_PLACE = len('{"beat": "')
_held_here: set[str] = set()
"""Tokens that this process holds: a lease of this process that is not among them is left over from a failed build."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds: between two beats; until a counter that stands still is stale; to look again after a take-over."""

    beat: float = 10.0
    patience: float = 90.0
    settle: float = 0.1


PACE = Pace()


@dataclass(frozen=True, slots=True)
class Holder:
    """What a lease says."""

    process: Process
    token: str

    def text(self) -> bytes:
        return json.dumps({"beat": f"{0:012d}", "token": self.token, **asdict(self.process)}).encode()


@dataclass(slots=True)
class Lease:
    """A lease that is held. A thread moves its counter until `release`."""

    path: Path
    holder: Holder
    handle: int
    stopped: threading.Event

    def check(self) -> None:
        """Raises RecipeError B033 if another builder took the lease over (this one was asleep for too long)."""
        with disk.named_errors(self.path, "reading the lease"):
            now = _holder(disk.read_small(self.path))
        if now is None or now.token != self.holder.token:
            raise RecipeError(
                "B033", "another builder took over this output while this one stood still", Where(str(self.path)),
                "let the other one finish; what is built is kept",
            )  # fmt: skip

    def release(self) -> None:
        """Gives the output free. Raises nothing: a lease that stays is found stale by the next build."""
        if self.stopped.is_set():
            return
        self.stopped.set()
        with contextlib.suppress(RecipeError, OSError):
            self.check()
            disk.remove(self.path)
        disk.close(self.handle)
        _held_here.discard(self.holder.token)

    def beat_until_released(self, seconds: float) -> None:
        """Moves the counter in place, in our own file: after a take-over that is no longer the one under the name."""
        beat = 0
        while not self.stopped.wait(seconds):
            beat += 1
            with contextlib.suppress(OSError):
                disk.write_at(self.handle, f"{beat:012d}".encode(), _BEAT_PLACE)


@contextlib.contextmanager
def held(folder: Path, pace: Pace | None = None) -> Iterator[Lease]:
    """Holds the lease of an output folder and sweeps the folder's temporaries when it ends.

    Raises RecipeError B032 naming the builder that holds it.
    """
    pace = pace or PACE
    lease = _take(folder / NAME, pace)
    beats = threading.Thread(target=lease.beat_until_released, args=(pace.beat,), name="lease", daemon=True)
    beats.start()
    try:
        yield lease
    finally:
        if not lease.stopped.is_set():
            with contextlib.suppress(RecipeError, OSError):
                lease.check()
                disk.sweep(folder)
            lease.release()
        beats.join()


def token_of(folder: Path) -> str:
    """Returns the token of whoever holds an output folder now; "" where no lease is to be seen. Raises RecipeError
    B011."""
    path = folder / NAME
    with disk.named_errors(path, "reading the lease"):
        return _token(disk.read_small(path))


def _take(path: Path, pace: Pace) -> Lease:
    """Creates the lease; clears a stale one away first. Raises RecipeError B032 and what the disk says."""
    other = b""
    with disk.named_errors(path, "taking the lease"):
        for _ in range(4):
            lease = _create(path)
            if lease is not None:
                return lease
            found = disk.read_small(path)
            if found is None:
                continue
            other = found
            if not _stale(path, found, pace) or not _clear(path, found):
                break
            lease = _create(path)
            if lease is not None:
                time.sleep(pace.settle)
                if _token(disk.read_small(path)) == lease.holder.token:
                    return lease
                lease.release()
    holder = _holder(other)
    who = f"process {holder.process.pid} on {holder.process.host}" if holder else "it has not written its name yet"
    hint = f"wait for it; if that machine is gone for good, remove {path}"
    raise RecipeError("B032", f"another builder is at work here: {who}", Where(str(path.parent)), hint)


def _create(path: Path) -> Lease | None:
    """Our lease under `path`, whole from its first instant; None if there is one."""
    holder = Holder(Process.current(), secrets.token_hex(16))
    temp = disk.temporary(path)
    handle = disk.create(temp, 0)
    _held_here.add(holder.token)
    try:
        disk.write_at(handle, holder.text(), 0)
        if not disk.link(temp, path):  # no links here: create the name, then fill it
            disk.close(handle)
            handle = disk.create_new(path)
            disk.write_at(handle, holder.text(), 0)
    except (FileExistsError, FileNotFoundError):  # there is one, or its owner swept our temporary file
        _held_here.discard(holder.token)
        disk.close(handle)
        return None
    except BaseException:
        _held_here.discard(holder.token)
        disk.close(handle)
        raise
    finally:
        disk.discard(temp)
    return Lease(path, holder, handle, threading.Event())


def _clear(path: Path, stale: bytes) -> bool:
    """Moves a stale lease away. If it was another one by then, puts it back and returns False."""
    aside = disk.temporary(path)
    try:
        disk.rename(path, aside)
    except FileNotFoundError:
        return True
    moved = disk.read_small(aside)
    fresh = moved != stale and _token(moved) != _token(stale)
    if fresh:
        with contextlib.suppress(FileExistsError):
            disk.link(aside, path)
    disk.discard(aside)
    return not fresh


def _stale(path: Path, content: bytes, pace: Pace) -> bool:
    """Whether the holder is gone: by its process on this machine, by its counter otherwise."""
    holder, here = _holder(content), Process.current()
    if holder is not None and (holder.process.host, holder.process.machine) == (here.host, here.machine):
        if holder.process == here:
            return holder.token not in _held_here
        if holder.process.boot != here.boot:
            return True
        if holder.process.namespace == here.namespace:
            return started(holder.process.pid) != holder.process.started
    patience = pace.patience if holder is not None else pace.beat
    end = time.monotonic() + patience
    while time.monotonic() < end:
        time.sleep(min(pace.beat, patience) / 10)
        if disk.read_small(path) != content:
            return False
    return True


def _token(content: bytes | None) -> str:
    holder = _holder(content)
    return holder.token if holder else ""


def _holder(content: bytes | None) -> Holder | None:
    """Returns what a lease says; None if it is torn or missing."""
    try:
        data = json.loads(content or b"")
        process = Process(**{name: data[name] for name in Process.__slots__})
        return Holder(process, data["token"]) if isinstance(data["token"], str) and type(process.pid) is int else None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
