"""Floor 4, reports. The heat map: layers × projections, coloured by bits per weight or by relative RMSE. This module is
pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

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
    """`columns` are (role, projection); each row has its label and a cell, or None where the layer has nothing."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[str, tuple[Cell | None, ...]], ...]
    legend: tuple[str, ...]

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
    rows = []
    for (block, layer), row in cells.items():
        name = f"{layer} mtp" if block == "mtp" else str(layer)
        line: list[Cell | None] = []
        for column in columns:
            found = judged(row[column]) if column in row else None
            where = f"layer {name}, {' '.join(filter(None, column))}"
            line.append(found and Cell(text(found[0]), step(found[0], ends), f"{where}: {found[1]}"))
        rows.append((name, tuple(line)))
    return HeatMap(columns, tuple(rows), legend)


def _place(column: Column) -> tuple[int, str, int, str]:
    role, projection = column
    outer = ROLES.index(role) if role in ROLES else len(ROLES)
    inner = PROJECTIONS.index(projection) if projection in PROJECTIONS else len(PROJECTIONS)
    return outer, role, inner, projection
