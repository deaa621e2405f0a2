"""Floor 1, hub. Decides which ranges to download together, so that a scratch of limited size is enough for reads in a
known order. This module is pure.

Every read lies in one unit. A unit is needed from the first step that reads from it to the last one. Units are admitted
in the order of their first steps, and nothing is downloaded twice. So a scratch is large enough if and only if it holds
the units that are needed at any one step.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from dsv4recipe.errors import RecipeError
from dsv4recipe.units import human_size

Read = tuple[str, int, int]
"""A file, its first byte and its last byte (exclusive)."""
BLOCK = 4096
"""The block size of file systems; the space of a unit in the scratch is a multiple of it."""
_LENGTHS = (256 << 20, 64 << 20, 16 << 20, 4 << 20, 0)
_GAP = 64 << 10
"""The largest gap of unread bytes that costs less than a separate request."""


@dataclass(frozen=True, slots=True)
class Unit:
    """Bytes [start, end) of a file, needed by the steps `first` to `last`, with this many `reads`."""

    file: str
    start: int
    end: int
    first: int
    last: int
    reads: int

    @property
    def room(self) -> int:
        """Returns the bytes that it takes in the scratch."""
        return -(-(self.end - self.start) // BLOCK) * BLOCK


def cut(steps: Iterable[Sequence[Read]], sizes: Mapping[str, int], limit: int) -> list[Unit]:
    """Returns units in the order of their first steps. They are whole files if `room_for_files` fits, else the longest
    ranges for which `limit` bytes of scratch are enough. `sizes` are the bytes of files.

    Raises RecipeError H010 if not even the reads of one step fit.
    """
    reads = _gather(steps)
    files = _files(reads, sizes)
    units = files if peak(files) <= limit else []
    lengths = iter(_LENGTHS)
    while reads and (not units or (needed := peak(units)) > limit):
        length = next(lengths, None)
        if length is None:
            message = f"a scratch of {human_size(limit)} is too small for one expert or one block of rows"
            raise RecipeError("H010", message, hint=f"pass at least --scratch {needed}B")
        units = [unit for file, found in reads.items() for unit in _ranges(file, found, length)]
    return sorted(units, key=lambda unit: (unit.first, unit.file, unit.start))


def room_for_files(steps: Iterable[Sequence[Read]], sizes: Mapping[str, int]) -> int:
    """Returns the bytes of scratch that allow downloading whole files, so that their digests can be checked; 0 if most
    of their bytes are not read."""
    return peak(_files(_gather(steps), sizes))


def _gather(steps: Iterable[Sequence[Read]]) -> dict[str, list[tuple[int, int, int]]]:
    """Returns (start, end, step) of the reads of each file, in the order of the file."""
    reads: dict[str, list[tuple[int, int, int]]] = defaultdict(list)
    for number, step in enumerate(steps):
        for file, start, end in step:
            reads[file].append((start, end, number))
    for found in reads.values():
        found.sort()
    return reads


def _files(reads: Mapping[str, list[tuple[int, int, int]]], sizes: Mapping[str, int]) -> list[Unit]:
    """Returns each file as one unit, or none if most of their bytes are not read."""
    wanted = sum(end - start for found in reads.values() for start, end, _ in found)
    if 2 * wanted < sum(sizes[file] for file in reads):
        return []
    return [_unit(file, 0, sizes[file], found) for file, found in reads.items()]


def peak(units: Iterable[Unit]) -> int:
    """Returns the most bytes of scratch that are needed at one step."""
    change: dict[int, int] = defaultdict(int)
    for unit in units:
        change[unit.first] += unit.room
        change[unit.last + 1] -= unit.room
    most = now = 0
    for step in sorted(change):
        now += change[step]
        most = max(most, now)
    return most


def _ranges(file: str, reads: list[tuple[int, int, int]], length: int) -> list[Unit]:
    """Returns units of neighbouring reads of up to `length` bytes; a longer read is its own unit."""
    runs: list[list[tuple[int, int, int]]] = []
    for read in reads:
        near = runs and read[0] - runs[-1][-1][1] <= min(_GAP, length)
        if near and read[1] - runs[-1][0][0] <= length:
            runs[-1].append(read)
        else:
            runs.append([read])
    return [_unit(file, run[0][0], max(end for _, end, _ in run), run) for run in runs]


def _unit(file: str, start: int, end: int, reads: Sequence[tuple[int, int, int]]) -> Unit:
    steps = [step for _, _, step in reads]
    return Unit(file, start, end, min(steps), max(steps), len(reads))
