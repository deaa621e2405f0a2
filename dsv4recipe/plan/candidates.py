"""Floor 3, plan. Finds the groups that a rule can match at all, using indexes built once per checkpoint. This module is
pure.

With thousands of rules and thousands of groups, testing every pair would take most of a plan's time. A set of groups is
an integer with one bit per group. The result may hold too many groups, never too few.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from dsv4recipe.checkpoint.family import Slot
from dsv4recipe.checkpoint.graph import Group
from dsv4recipe.recipe.model import Match

_LITERAL = re.compile(r"[^*?\[]*")
_SIGN = re.compile(r"[*?]|\[!?\]?[^\]]*\]")
_LAST = "\U0010ffff"


class Candidates:
    """Indexes the groups of a checkpoint by what rules ask for. `path_of` gives the target's module path of a slot."""

    def __init__(self, groups: Sequence[Group], path_of: Callable[[Slot], str | None]):
        self._all = (1 << len(groups)) - 1
        self._by: dict[tuple[str, object], int] = defaultdict(int)
        names: list[tuple[str, int]] = []
        paths: list[tuple[str, int]] = []
        for number, group in enumerate(groups):
            slot, bit = group.slot, 1 << number
            for field, value in (
                ("role", slot.row.role),
                ("projection", slot.row.projection),
                ("block", slot.block),
                ("stored", group.source.stored),
                ("layer", slot.layer),
            ):
                self._by[field, value] |= bit
            names += ((tensor.name, number) for tensor in group.members)
            paths.append((path_of(slot) or "", number))
        self._names, self._paths = _Sorted(names), _Sorted(paths)

    def of(self, match: Match, layer_sets: Mapping[str, frozenset[int]]) -> Iterator[int]:
        """Yields the numbers of the groups that can match, rising. `layer_sets` are the family's, resolved."""
        found = self._all
        for field, values in (
            ("role", match.role),
            ("projection", match.projection),
            ("block", match.block),
            ("stored", match.stored),
        ):
            if values:
                found &= self._any(field, values)
        if match.layers or match.layer_sets:
            named = set(match.layers).union(*(layer_sets.get(name, frozenset()) for name in match.layer_sets))
            found &= self._any("layer", named)
        for globs, names in ((match.tensor, self._names), (match.module, self._paths)):
            if globs and found:
                found &= names.groups(globs)
        while found:
            low = found & -found
            yield low.bit_length() - 1
            found ^= low

    def _any(self, field: str, values: Iterable[object]) -> int:
        found = 0
        for value in values:
            found |= self._by.get((field, value), 0)
        return found


class _Sorted:
    """Sorted names, each with the number of its group, so that names with the same beginning lie together."""

    def __init__(self, names: list[tuple[str, int]]):
        names.sort()
        self._names = [name for name, _ in names]
        self._numbers = [number for _, number in names]
        texts: dict[int, list[str]] = defaultdict(list)
        for name, number in names:
            texts[number].append(name)
        self._texts = {number: "\n".join(some) for number, some in texts.items()}

    def groups(self, globs: Sequence[str]) -> int:
        found = 0
        for glob in globs:
            start = _LITERAL.match(glob)[0]  # type: ignore[index]
            if not start:
                part = max(_SIGN.split(glob), key=len)
                found |= sum(1 << number for number, text in self._texts.items() if part in text)
                continue
            first = bisect_left(self._names, start)
            last = bisect_left(self._names, start + ("\0" if start == glob else _LAST))
            for number in set(self._numbers[first:last]):
                found |= 1 << number
        return found
