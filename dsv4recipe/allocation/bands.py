"""Floor 3, allocation. Arranges chosen formats in runs of layers, which makes a recipe short. This module is pure.

Items of the same sizes may exchange their formats without changing a byte. Assigning the formats in order of importance
and then of layers turns scattered layers into ranges. If errors are measured, a layer's format partly reflects the
noise of the sample, so the exchange costs almost nothing. An exchange that costs more than a limit is not made.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from dsv4recipe.allocation.items import Item

COST = 0.001
"""The largest allowed rise of the whole objective."""


def settle(items: Sequence[Item], choice: Sequence[int], importance: Sequence[float]) -> tuple[int, ...]:
    """Returns the choice with formats in runs of layers, one class of equal items at a time. `importance` is that of
    each item."""
    settled = list(choice)
    alike: dict[tuple[object, ...], list[int]] = defaultdict(list)
    for number, item in enumerate(items):
        slot = item.groups[0].slot
        shapes = tuple((group.source, group.experts, group.slot.row.projection) for group in item.groups)
        alike[slot.row.role, slot.block, shapes].append(number)
    allowed = COST * sum(items[i].options[c][2] for i, c in enumerate(choice))
    for members in alike.values():
        places = [{option[0]: number for number, option in enumerate(items[i].options)} for i in members]
        taken = [items[i].options[choice[i]][0] for i in members]
        if any(formats not in place for place in places for formats in taken):
            continue
        rank = {option[0]: (option[2], option[1]) for option in items[members[0]].options}
        taken.sort(key=rank.__getitem__)
        order = sorted(range(len(members)), key=lambda n: -importance[members[n]])
        moved = [(members[n], places[n][formats]) for n, formats in zip(order, taken, strict=True)]
        change = sum(items[i].options[c][2] - items[i].options[choice[i]][2] for i, c in moved)
        if change <= allowed:
            allowed -= max(change, 0.0)
            for i, c in moved:
                settled[i] = c
    return tuple(settled)
