"""Floor 4, builder. Holds the lease that allows one builder per output, also across machines that share a folder.

The lease is a file that appears complete or not at all, with machine, process, a random token and a counter that its
holder increments. It is stale if its process is gone from this machine, or this machine has restarted since. For
another machine it is stale if the counter does not change for a whole time-out of our own monotonic clock. Wall clocks
are never compared.
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
"""Tokens that this process holds. A lease of this process with another token is left over from a failed build."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Times in seconds: between two increments, until an unchanged counter is stale, and to check after a take-over."""

    beat: float = 10.0
    patience: float = 90.0
    settle: float = 0.1


PACE = Pace()


@dataclass(frozen=True, slots=True)
class Holder:
    """The content of a lease."""

    process: Process
    token: str

    def text(self) -> bytes:
        return json.dumps({"beat": f"{0:012d}", "token": self.token, **asdict(self.process)}).encode()


@dataclass(slots=True)
class Lease:
    """A held lease. A thread increments its counter until `release`."""

    path: Path
    holder: Holder
    handle: int
    stopped: threading.Event

    def check(self) -> None:
        """Raises RecipeError B033 if another builder took the lease over because this one was asleep for too long."""
        with disk.named_errors(self.path, "reading the lease"):
            now = _holder(disk.read_small(self.path))
        if now is None or now.token != self.holder.token:
            raise RecipeError(
                "B033", "another builder took over this output while this one was suspended", Where(str(self.path)),
                "let the other one finish; finished shards are kept",
            )  # fmt: skip

    def release(self) -> None:
        """Frees the output. It raises nothing, because the next build finds a leftover lease stale."""
        if self.stopped.is_set():
            return
        self.stopped.set()
        with contextlib.suppress(RecipeError, OSError):
            self.check()
            disk.remove(self.path)
        disk.close(self.handle)
        _held_here.discard(self.holder.token)

    def beat_until_released(self, seconds: float) -> None:
        """Increments the counter in our own file, in place. After a take-over, that is no longer the file of that
        name."""
        beat = 0
        while not self.stopped.wait(seconds):
            beat += 1
            with contextlib.suppress(OSError):
                disk.write_at(self.handle, f"{beat:012d}".encode(), _BEAT_PLACE)


@contextlib.contextmanager
def held(folder: Path, pace: Pace | None = None) -> Iterator[Lease]:
    """Holds the lease of an output folder, and removes the folder's temporary files when it ends.

    Raises RecipeError B032, which names the builder that holds it.
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
    """Returns the token of the present holder of an output folder, or "" if there is no lease. Raises RecipeError
    B011."""
    path = folder / NAME
    with disk.named_errors(path, "reading the lease"):
        return _token(disk.read_small(path))


def _take(path: Path, pace: Pace) -> Lease:
    """Creates the lease, after removing a stale one. Raises RecipeError B032 and disk errors."""
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
    hint = f"wait for it; if that machine will not come back, remove {path}"
    raise RecipeError("B032", f"another builder is working here: {who}", Where(str(path.parent)), hint)


def _create(path: Path) -> Lease | None:
    """Creates our lease under `path`, complete from its first instant. Returns None if there is one already."""
    holder = Holder(Process.current(), secrets.token_hex(16))
    temp = disk.temporary(path)
    handle = disk.create(temp, 0)
    _held_here.add(holder.token)
    try:
        disk.write_at(handle, holder.text(), 0)
        if not disk.link(temp, path):  # this file system has no links, so create the name and then fill it
            disk.close(handle)
            handle = disk.create_new(path)
            disk.write_at(handle, holder.text(), 0)
    except (FileExistsError, FileNotFoundError):  # there is a lease, or its owner removed our temporary file
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
    """Moves a stale lease away. If it has become another one, puts it back and returns False."""
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
    """Returns whether the holder is gone: by its process on this machine, otherwise by its counter."""
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
    """Returns the content of a lease, or None if it is torn or missing."""
    try:
        data = json.loads(content or b"")
        process = Process(**{name: data[name] for name in Process.__slots__})
        return Holder(process, data["token"]) if isinstance(data["token"], str) and type(process.pid) is int else None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
