"""Floor 4, forward. Estimates what a pass needs before it starts: memory, disk space and time. Asks the machine.

Memory and disk space are counted. Time is measured on this machine with a matrix product and one tensor of each kind of
module, which is read and decoded. The estimate is right within a factor of about two.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from dsv4recipe.checkpoint.graph import Checkpoint, Group
from dsv4recipe.errors import Problems, Where
from dsv4recipe.forward.run import Pass
from dsv4recipe.forward.weights import Weights
from dsv4recipe.units import human_size

_RUNTIME = 700 << 20
"""The bytes of Python with torch and numba loaded."""
_SMALL = 1 << 22
_OVERHEAD = 3.0
"""The time of attention and of everything small, relative to the matrix products alone."""


@dataclass(frozen=True, slots=True)
class Needs:
    """Bytes of memory, of memory for states alone, and on disk, and the estimated seconds (0: not measured)."""

    memory: int
    states: int
    disk: int
    seconds: float


def needs(run: Pass, models: Sequence[Weights], extra_states: int = 0, kept: bool = False, timed: bool = True) -> Needs:
    """Returns what it takes to run `models` one after the other through a pass and to hold their heads together.
    `extra_states` are further copies of the states. If they are `kept`, those of each model are also written to a
    file."""
    checkpoint = run.reference.checkpoint
    dims, settings = checkpoint.dims, run.settings
    layers = [groups for number, groups in run.reference.groups.items() if number is not None]
    layer = max(sum(_floats(group) for group in groups if not group.experts) for groups in layers)
    expert = sum(_floats(group) // group.experts for group in run.reference.experts(0).values())
    head = 4 * dims.vocab * dims.hidden
    sequences = max(run.batches, key=lambda batch: batch.ids.size * batch.shape[1])
    count, length = sequences.shape
    scores = 4 * count * dims.heads * length * (length + length // 4 + 1)
    streams = 4 * sequences.ids.size * dims.hc * dims.hidden
    work = 6 * scores + 8 * streams + 4 * 4096 * (3 * dims.inter + 2 * dims.hidden)
    stored = 4 * run.tokens * dims.hc * dims.hidden
    states = stored * (1 + extra_states) + 4 * run.tokens * (
        2 * dims.hidden + dims.hc * (1 + dims.hc) + dims.hidden * len(models) + 3 * dims.topk
    )
    held = min(states, settings.states)
    memory = _RUNTIME + layer + (settings.workers + 2) * expert * 2 + head * len(models) + work + held
    disk = states - held + (stored * len(models) if kept else 0)
    seconds = sum(_seconds(run, model) for model in models) if timed else 0.0
    return Needs(memory, states, disk, seconds)


def check(found: Needs, checkpoint: Checkpoint, folder: Path | None) -> None:
    """Raises RecipeError M005 if memory is short, M006 if disk space is."""
    problems = Problems()
    free = available_memory()
    if found.memory > free:
        message = f"{human_size(found.memory)} of memory are needed, but only {human_size(free)} are free"
        hint = "use fewer --tokens, a shorter --length, fewer --workers, or smaller --states, which uses the disk"
        problems.error("M005", message, Where(checkpoint.folder.place), hint)
    place = folder or Path(tempfile.gettempdir())
    while not place.exists():
        place = place.parent
    room = shutil.disk_usage(place).free
    if found.disk > room:
        message = f"{human_size(found.disk)} of disk are needed for states, but only {human_size(room)} are free"
        problems.error("M006", message, Where(str(place)), "use fewer --tokens, or pass --work FOLDER on another disk")
    problems.raise_if_any()


def available_memory() -> int:
    """Returns the bytes that programs can still use: the system's estimate on Linux, half of all memory elsewhere."""
    try:
        with open("/proc/meminfo", encoding="ascii") as stream:
            for line in stream:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) << 10
    except OSError:
        pass
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def _floats(group: Group) -> int:
    return 4 * prod(group.shape)


def _seconds(run: Pass, weights: Weights) -> float:
    dims, groups = run.reference.checkpoint.dims, run.reference.groups
    active = dims.vocab * dims.hidden
    decoded = 0.0
    speeds: dict[Any, float] = {}
    for number, members in groups.items():
        for group in members:
            if number is None or len(group.source.shape) != 2:
                continue
            active += prod(group.source.shape) * (dims.topk if group.experts else 1)
            kind = (group.slot.row.pattern, group.source)
            if kind not in speeds:
                took = _timed(weights, group)
                small = prod(group.source.shape) < _SMALL  # the compilation of kernels counts there: once more
                speeds[kind] = _timed(weights, group) if small else took
            decoded += speeds[kind] * len(group.members) / (run.settings.workers if group.experts else 1)
    return 2 * active * run.tokens / _speed(run) * _OVERHEAD + decoded


def _timed(weights: Weights, group: Group) -> float:
    start = time.monotonic()
    weights.tensor(group, 0)
    return time.monotonic() - start


def _speed(run: Pass) -> float:
    """Returns the operations per second of a matrix product on the device."""
    torch, device = run.torch, run.reference.device
    one = torch.ones((512, 1024), device=device)
    other = torch.ones((1024, 1024), device=device)
    best = 1e30
    for _ in range(3):
        start = time.monotonic()
        float((one @ other)[0, 0])
        best = min(best, time.monotonic() - start)
    return 2 * 512 * 1024 * 1024 / max(best, 1e-9)
