"""A file system that counts its calls and fails one of them: stands in for `os` in dsv4recipe.files.disk.

python -m tests.faults.calls [--seed N]      every call × every kind of fault
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import os
import random
import shutil
import stat
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from dsv4recipe.errors import RecipeError
from dsv4recipe.files import disk
from tests.faults.world import World, make_world

EFFECTS = frozenset((
    "open", "close", "write", "pwrite", "preadv", "pread", "fsync", "replace", "link", "unlink", "mkdir", "ftruncate",
    "posix_fallocate", "posix_fadvise", "stat", "fstat",
))  # fmt: skip
FAULTS = {"EIO": errno.EIO, "ENOSPC": errno.ENOSPC, "EDQUOT": errno.EDQUOT, "EINTR": errno.EINTR, "short": 0}


class Calls:
    """`os`, with `on_call(number, name, real, arguments)` in front of every call that reaches the file system."""

    def __init__(self, on_call: Callable[[int, str, Any, tuple[Any, ...]], Any]):
        self.on_call = on_call
        self.count = 0
        self.lock = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        if name not in EFFECTS:
            return real

        def call(*arguments: Any) -> Any:
            with self.lock:
                self.count += 1
                number = self.count
            return self.on_call(number, name, real, arguments)

        return call


@contextlib.contextmanager
def instead_of_os(calls: Calls) -> Iterator[Calls]:
    """Runs builds on these calls."""
    before, disk.fs = disk.fs, calls  # type: ignore[assignment]
    try:
        yield calls
    finally:
        disk.fs = before


def quick() -> Calls:
    """Calls that leave fsync out: what is simulated does not need the drive, and the drive is slow."""
    return Calls(lambda number, name, real, arguments: None if name == "fsync" else real(*arguments))


def count_calls(world: World, out: Path) -> int:
    """How many calls an undisturbed build makes."""
    with instead_of_os(quick()) as calls:
        world.build(out)
    return calls.count


def failing(place: int, fault: str, for_good: bool = False) -> Calls:
    """Calls of which number `place` fails, or every one from there on."""

    def on_call(number: int, name: str, real: Any, arguments: tuple[Any, ...]) -> Any:
        if number != place and not (for_good and number > place):
            return None if name == "fsync" else real(*arguments)
        if fault == "short":
            return _short(name, real, arguments)
        if name == "close":
            real(*arguments)  # a failing close closes
        if name == "fsync" and stat.S_ISREG(os.fstat(arguments[0]).st_mode):
            _lose_pages(arguments[0])
        raise OSError(FAULTS[fault], os.strerror(FAULTS[fault]))

    return Calls(on_call)


def _short(name: str, real: Any, arguments: tuple[Any, ...]) -> Any:
    """Half of what was asked for."""
    if name in ("write", "pwrite"):
        handle, data, *rest = arguments
        return real(handle, memoryview(data)[: max(1, len(data) // 2)], *rest)
    if name == "preadv":
        handle, (buffer,), place = arguments
        return real(handle, [buffer[: max(1, len(buffer) // 2)]], place)
    return real(*arguments)


def _lose_pages(handle: int) -> None:
    """What a failed fsync may do: the file keeps its length and loses its data."""
    size = os.fstat(handle).st_size
    with contextlib.suppress(OSError):
        os.ftruncate(handle, 0)
        os.ftruncate(handle, size)


def one_fault(world: World, out: Path, place: int, fault: str, for_good: bool = False) -> str:
    """Builds with one fault, then without: the outcome of the first build, "done" or an error's code.

    Raises AssertionError for a wrong byte, and lets any error through that is not a RecipeError.
    """
    outcome = "done"
    try:
        with instead_of_os(failing(place, fault, for_good)):
            world.build(out)
    except RecipeError as error:
        outcome = error.diagnostics[0].code
    world.check_names(out)
    with instead_of_os(quick()):
        world.build(out)
    world.check_finished(out)
    shutil.rmtree(out)
    return outcome


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    rng = random.Random(parser.parse_args().seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        world = make_world(folder, "1MB", layers=1, experts=2)
        total = count_calls(world, folder / "count")
        outcomes: Counter[tuple[str, str]] = Counter()
        for place in range(1, total + 1):
            for fault in FAULTS:
                outcomes[fault, one_fault(world, folder / "out", place, fault, rng.random() < 0.2)] += 1
        print(f"{total} calls x {len(FAULTS)} faults, {len(world.plan.shards)} shards: 0 wrong bytes, 0 untyped errors")
        for (fault, outcome), count in sorted(outcomes.items()):
            print(f"  {fault:7} {outcome:5} {count}")


if __name__ == "__main__":
    main()
