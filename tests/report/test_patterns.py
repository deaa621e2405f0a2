"""Patterns say exactly the names they stand for: nothing lost, nothing added."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from dsv4recipe.reports.patterns import patterns


def spelled(pattern: str) -> Iterator[str]:
    """Every name that a pattern spells."""
    choices = [list(_each(word)) for word in pattern.split(".")]
    return (".".join(words) for words in itertools.product(*choices))


def _each(word: str) -> Iterator[str]:
    found = re.fullmatch(r"\{(.*)\}", word)
    for part in (found[1] if found else "").split(","):
        first, dash, last = part.partition("-")
        if not found:
            yield word
        elif dash:
            yield from map(str, range(int(first), int(last) + 1))
        else:
            yield part


NAMES = st.lists(st.sampled_from(["layers", "w1", "0", "1", "2", "3", "7", "07", "mtp"]), min_size=1, max_size=4)


@given(st.sets(NAMES.map(".".join), max_size=40))
def test_patterns_spell_the_names_and_no_other(names: set[str]) -> None:
    found = patterns(names)
    assert sorted(name for pattern, _ in found for name in spelled(pattern)) == sorted(names)
    assert [len(list(spelled(pattern))) for pattern, _ in found] == [count for _, count in found]


def test_experts_of_many_layers_are_one_pattern() -> None:
    names = [f"layers.{n}.ffn.experts.{e}.w1" for n in range(43) for e in range(256)]
    assert patterns(names) == [("layers.{0-42}.ffn.experts.{0-255}.w1", 43 * 256)]
    assert patterns(names[:-1]) == [
        ("layers.42.ffn.experts.{0-254}.w1", 255),
        ("layers.{0-41}.ffn.experts.{0-255}.w1", 42 * 256),
    ]
