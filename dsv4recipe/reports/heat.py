"""Floor 4, reports. The heat map: layers × projections, coloured by bits per weight or by relative RMSE. This module is
pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from dsv4recipe.plan.model import PlannedModule
from dsv4recipe.recipe.layers import compact
from dsv4recipe.recipe.model import PROJECTIONS, ROLES

BITS = (2.5, 3.5, 4.5, 5.5, 6.5, 9.5, 16.5)
"""Upper ends of the colour steps of bits per weight; the last step is open."""
RMSE = (0.0, 0.001, 0.005, 0.02, 0.05, 0.1, 0.2)
"""Upper ends of the colour steps of relative RMSE; the first is what equals its source exactly."""

Column = tuple[str, str]
Judged = Callable[[Sequence[PlannedModule]], tuple[float, str] | None]


@dataclass(frozen=True, slots=True)
class Cell:
    """What one layer has of one projection: the number shown, its colour step, and the sentence behind it."""

    text: str
    step: int
    title: str


@dataclass(frozen=True, slots=True)
class HeatMap:
    """`columns` are (role, projection); each row stands for layers that are alike: its label, how many they are, and a
    cell, or None where they have nothing. `widths` are per cent: as the columns' bytes are, but none too narrow."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[str, int, tuple[Cell | None, ...]], ...]
    legend: tuple[str, ...]
    widths: tuple[float, ...] = ()

    @property
    def groups(self) -> tuple[tuple[str, int], ...]:
        """Roles with how many columns each spans, in the order of the columns."""
        spans: dict[str, int] = {}
        for role, _ in self.columns:
            spans[role] = spans.get(role, 0) + 1
        return tuple(spans.items())


def step(value: float, ends: Sequence[float]) -> int:
    """Returns the colour step of a value: the first whose upper end is not below it."""
    return next((number for number, end in enumerate(ends) if value <= end), len(ends))


def bits_map(modules: Iterable[PlannedModule]) -> HeatMap:
    """Returns bits per weight of every layer and projection."""

    def judged(found: Sequence[PlannedModule]) -> tuple[float, str] | None:
        formats = ", ".join(dict.fromkeys(module.format.label for module in found))
        bits = bits_of(found)
        size = sum(module.bytes for module in found)
        return bits, f"{formats}, {bits:.4g} bits per weight, {size:,} B"

    legend = ("up to 2.5", "3.5", "4.5", "5.5", "6.5", "9.5", "16.5", "32 and more")
    return _map(modules, judged, lambda bits: f"{bits:.2f}".rstrip("0").rstrip("."), BITS, legend)


def rmse_map(modules: Iterable[PlannedModule], measured: Mapping[str, float]) -> HeatMap:
    """Returns relative RMSE by disk stem; where a cell holds several modules, the worst of them."""

    def judged(found: Sequence[PlannedModule]) -> tuple[float, str] | None:
        known = [measured[module.disk] for module in found if module.disk in measured]
        if not known:
            return None
        worst = max(known)
        words = "equal to the source" if worst == 0 else f"relative RMSE {worst:.4g}"
        return worst, words + (f" (worst of {len(known)} modules)" if len(known) > 1 and worst else "")

    legend = ("exact", "up to 0.001", "0.005", "0.02", "0.05", "0.1", "0.2", "more")
    return _map(modules, judged, lambda value: f"{value:.2g}".replace("e-0", "e-"), RMSE, legend)


def bits_of(modules: Iterable[PlannedModule]) -> float:
    """Returns bits per weight of some modules together."""
    found = list(modules)
    weights = sum(module.weights for module in found)
    return sum(module.bytes for module in found) * 8 / weights if weights else 0.0


def runs(modules: Iterable[PlannedModule]) -> list[tuple[str, str, str, str, float]]:
    """Returns the map in words: (role, projection, layers, format, bits per weight), one row per format of a
    projection."""
    alike: dict[tuple[Column, str], list[PlannedModule]] = defaultdict(list)
    for module in modules:
        if module.layer is not None:
            alike[(module.role, module.projection), module.format.label].append(module)
    return [
        (*column, ", ".join(map(str, compact(m.layer for m in found if m.layer is not None))), fmt, bits_of(found))
        for (column, fmt), found in sorted(alike.items(), key=lambda item: (_place(item[0][0]), item[0][1]))
    ]


def _map(
    modules: Iterable[PlannedModule],
    judged: Judged,
    text: Callable[[float], str],
    ends: Sequence[float],
    legend: tuple[str, ...],
) -> HeatMap:
    cells: dict[tuple[str, int], dict[Column, list[PlannedModule]]] = {}
    for module in sorted((m for m in modules if m.layer is not None), key=lambda m: (m.layer, m.disk)):
        assert module.layer is not None
        row = cells.setdefault((module.block, module.layer), defaultdict(list))
        row[module.role, module.projection].append(module)
    columns = tuple(sorted({column for row in cells.values() for column in row}, key=_place))
    alike: dict[tuple[str, tuple[tuple[float, str] | None, ...]], list[int]] = defaultdict(list)
    for (block, layer), row in cells.items():
        alike[block, tuple(judged(row[column]) if column in row else None for column in columns)].append(layer)
    rows = []
    for (block, line), layers in alike.items():
        name = _spelled(layers) + (" mtp" if block == "mtp" else "")
        head = f"layer{'s' * (len(layers) > 1)} {name}"
        shown: list[Cell | None] = []
        for column, found in zip(columns, line, strict=True):
            words = f"{head}, {' '.join(filter(None, column))}"
            shown.append(found and Cell(text(found[0]), step(found[0], ends), f"{words}: {found[1]}"))
        rows.append((name, len(layers), tuple(shown)))
    return HeatMap(columns, tuple(rows), legend, _widths(columns, cells.values()))


def _spelled(layers: Sequence[int]) -> str:
    """Returns layer numbers in few words: "0, 1", "5-36", "12-36 by 2"."""
    if len(layers) > 3 and {after - before for before, after in pairwise(layers)} == {2}:
        return f"{layers[0]}-{layers[-1]} by 2"
    return ", ".join(map(str, compact(layers)))


def _widths(columns: Sequence[Column], rows: Iterable[Mapping[Column, Sequence[PlannedModule]]]) -> tuple[float, ...]:
    """Returns the share of each column in the width, in per cent: what is left of a least width goes by bytes."""
    sizes: dict[Column, int] = defaultdict(int)
    for row in rows:
        for column, modules in row.items():
            sizes[column] += sum(module.bytes for module in modules)
    total = sum(sizes.values()) or 1
    least = min(1.9, 100 / max(1, len(columns)))
    free = 100 - least * len(columns)
    return tuple(round(least + free * sizes[column] / total, 2) for column in columns)


def _place(column: Column) -> tuple[int, str, int, str]:
    role, projection = column
    outer = ROLES.index(role) if role in ROLES else len(ROLES)
    inner = PROJECTIONS.index(projection) if projection in PROJECTIONS else len(PROJECTIONS)
    return outer, role, inner, projection
