"""Floor 3, allocate. The same formats, in runs of layers: what makes a recipe short. Pure.

Items of the same sizes may exchange their formats without changing a byte. Handing out the formats in the order of
importance and then of layers turns scattered layers into ranges. Where errors are measured, a layer's format is partly
the noise of the sample: the exchange costs next to nothing, and it is not made where it costs more than that.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from dsv4recipe.allocate.items import Item

COST = 0.001
"""The most that the whole objective may rise."""


def settle(items: Sequence[Item], choice: Sequence[int], importance: Sequence[float]) -> tuple[int, ...]:
    """The choice with formats in runs of layers, class of equal items by class. `importance` is that of each item."""
    settled = list(choice)
    alike: dict[tuple[object, ...], list[int]] = defaultdict(list)
    for number, item in enumerate(items):
        slot = item.groups[0].slot
        kind = (slot.row.role, slot.row.projection, slot.block)
        alike[(*kind, tuple(option[:2] for option in item.options))].append(number)
    allowed = COST * sum(items[i].options[c][2] for i, c in enumerate(choice))
    for members in alike.values():
        first = items[members[0]]
        formats = sorted((choice[i] for i in members), key=lambda c: (first.options[c][2], c))
        order = sorted(members, key=lambda i: -importance[i])
        pairs = list(zip(order, formats, strict=True))
        change = sum(items[i].options[c][2] - items[i].options[choice[i]][2] for i, c in pairs)
        if change <= allowed:
            allowed -= max(change, 0.0)
            for i, c in pairs:
                settled[i] = c
    return tuple(settled)
