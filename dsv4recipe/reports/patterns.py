"""Floor 4, reports. Thousands of names as a few patterns: "model.layers.{0-42}.attn.wq_a". This module is pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from dsv4recipe.recipe.layers import compact

Key = tuple[int, ...]


def patterns(names: Iterable[str]) -> list[tuple[str, int]]:
    """Returns (pattern, how many names it stands for), sorted by pattern. Exact: a pattern means every name that its
    braces spell and no other; numbers in one pair of braces are independent of those in the next."""
    keys: dict[tuple[str, ...], list[Key]] = defaultdict(list)
    for name in names:
        words = name.split(".")
        keys[tuple("" if _number(word) else word for word in words)].append(tuple(int(w) for w in words if _number(w)))
    found = []
    for shape, numbers in keys.items():
        for factors, count in _factored(numbers):
            each = iter(factors)
            found.append((".".join([word or next(each) for word in shape]), count))
    return sorted(found)


def _number(word: str) -> bool:
    return word.isascii() and word.isdecimal() and str(int(word)) == word


def _factored(keys: list[Key]) -> list[tuple[tuple[str, ...], int]]:
    """Keys as products of number sets: first numbers with the same rest go together."""
    if not keys[0]:
        return [((), len(keys))]
    rests: dict[int, list[Key]] = defaultdict(list)
    for key in keys:
        rests[key[0]].append(key[1:])
    alike: dict[tuple[Key, ...], list[int]] = defaultdict(list)
    for first, tails in rests.items():
        alike[tuple(sorted(tails))].append(first)
    return [
        ((_braces(firsts), *factors), len(firsts) * count)
        for shared, firsts in alike.items()
        for factors, count in _factored(list(shared))
    ]


def _braces(numbers: list[int]) -> str:
    return str(numbers[0]) if len(numbers) == 1 else "{" + ",".join(map(str, compact(numbers))) + "}"
