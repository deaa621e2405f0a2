"""Floor 3, plan. Lists the names of a tensor in every dialect: source, module paths and disk names of all targets.
This module is pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from dsv4recipe.checkpoint.family import Slot
from dsv4recipe.checkpoint.graph import Checkpoint, Group
from dsv4recipe.runtimes import running

_EXPERT = re.compile(r"\.experts\.(\d+|\{0-\d+\})\.")
_PARTS = (".weight", ".bias", ".scales", ".biases", ".scale", ".tq_packed", ".tq_norms", ".tq_bits")


@dataclass(frozen=True, slots=True)
class Names:
    """One target's names of a slot: its module path (None if the runtime drops it) and a disk stem per expert
    layout."""

    path: str | None
    disk: tuple[tuple[str, str], ...]


def names_everywhere(slot: Slot, family: str) -> dict[str, Names]:
    """Returns the names of a slot in every target that runs its family."""
    return {
        name: Names(target.path(slot), tuple((each, target.disk_stem(slot, each)) for each in target.expert_layouts))
        for name, target in running(family).items()
    }


def aliases(slot: Slot, family: str) -> tuple[str, ...]:
    """Returns every stem that a bundle or config of any dialect may use for the slot; `{E}` stands for an expert."""
    found = [slot.stem]
    for target in running(family).values():
        found += [target.disk_stem(slot, layout) for layout in target.expert_layouts]
        found += [key for keys in target.lookups(slot) for key in keys]
        found += target.keys(slot)
    return tuple(dict.fromkeys(found))


class Index:
    """Indexes a checkpoint's groups by all of their names."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.groups: dict[str, Group] = {}
        for group in checkpoint.groups:
            for alias in aliases(group.slot, checkpoint.family.name):
                self.groups.setdefault(alias, group)

    def stem(self, stem: str) -> tuple[Group, int | None] | None:
        """Returns the group of a stem without part suffix, and the expert if the stem names one. Returns None if no
        dialect knows the stem."""
        if stem in self.groups:
            return self.groups[stem], None
        found = _EXPERT.search(stem)
        group = self.groups.get(stem[: found.start()] + ".experts.{E}." + stem[found.end() :]) if found else None
        if group is None or found is None:
            return None
        number = found[1]
        if not number.isdecimal():
            return (group, None) if number == f"{{0-{group.experts - 1}}}" else None
        if str(int(number)) != number or int(number) >= group.experts:
            return None
        return group, int(number)

    def find(self, name: str) -> tuple[Group, int | None] | None:
        """Returns the group of a tensor, module or stem."""
        return next((hit for stem in _stems(name) if (hit := self.stem(stem)) is not None), None)


def _stems(name: str) -> Iterator[str]:
    yield name
    for suffix in _PARTS:
        if name.endswith(suffix):
            yield name.removesuffix(suffix)
