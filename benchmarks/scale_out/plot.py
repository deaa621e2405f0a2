"""The figures of `simulate` as one picture. Needs matplotlib: the extra `bench`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.scale_out.model import STORAGE

_COLOURS = dict(zip(("unlimited", *STORAGE), ("black", "tab:red", "tab:orange", "tab:blue"), strict=True))


def plot(found: dict[str, Any], out: Path) -> None:
    """Makespan against the model, with the points where the storage becomes the limit; and the scheduler's rate."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "scale-out"
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 4.4), width_ratios=(3, 2))
    _makespan(left, found)
    _throughput(right, found)
    figure.tight_layout()
    figure.savefig(out, metadata={"Date": None})


def _makespan(axes: Any, found: dict[str, Any]) -> None:
    counts = sorted(int(count) for count in found["workers"])
    grid = np.logspace(0, 10, 300, base=2)
    compute = np.maximum(found["core_seconds"] / grid, found["longest"])
    for name, colour in _COLOURS.items():
        storage = STORAGE.get(name, float("inf"))
        what = f"storage at {name}" if name in STORAGE else "processors and the longest shard"
        axes.loglog(grid, np.maximum(compute, found["traffic"] / storage), color=colour, lw=1, label=f"model: {what}")
        points = [found["workers"][str(count)]["storage"][name]["simulated"] for count in counts]
        axes.plot(counts, points, "o", color=colour, ms=5 if name == "unlimited" else 3.5)
        if name in STORAGE:
            limit = found["storage_is_the_limit_from"][name]
            axes.annotate(
                f"{limit:.0f} cores", (limit, found["traffic"] / storage), (0, 4), textcoords="offset points",
                ha="left", fontsize=8, color=colour,
            )  # fmt: skip
    axes.plot([], [], "o", color="gray", label="simulated: real engine and scheduler")
    axes.set_xscale("log", base=2)
    axes.set_xlabel("workers of one thread")
    axes.set_ylabel("seconds of a build")
    axes.set_title(f"V4-Pro, {found['recipe']}: {found['shards']} shards", fontsize=10)
    axes.legend(fontsize=7)
    axes.grid(alpha=0.3)


def _throughput(axes: Any, found: dict[str, Any]) -> None:
    counts = sorted(int(count) for count in found["workers"])
    rates = [found["workers"][str(count)]["empty_tasks_per_second"] for count in counts]
    needed = [found["shards"] / found["workers"][str(count)]["storage"]["unlimited"]["simulated"] for count in counts]
    axes.loglog(counts, rates, "s-", label="empty shards: what scheduler and client can do")
    axes.loglog(counts, needed, "o-", label="V4-Pro's shards: what a build asks for")
    axes.set_xscale("log", base=2)
    axes.set_xlabel("workers of one thread")
    axes.set_ylabel("shards per second")
    axes.set_title("Scheduler, client and all workers on two cores", fontsize=10)
    axes.legend(fontsize=7)
    axes.grid(alpha=0.3)
