"""Floor 2, runtimes. Describes what a version of a GGUF engine loads, what it can run, and which plans it refuses. This
module is pure.

Loading is wider than running: a file can load and then fail at its first token. Both
are data of the engine's version; the checks here are the same for all.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import isclose
from typing import Any

from dsv4recipe.checkpoint.family import Slot
from dsv4recipe.formats import Format, Ggml

Types = tuple[str, str]
"""The types of a layer's routed experts: that of gate and up, and that of down."""


@dataclass(frozen=True)
class Engine:
    """`version` names what the rest was read from. `types` gives the ggml types that a tensor of a slot and rank may
    have. `backends` maps a backend to the types of routed experts that it runs, each with a remark on speed or "";
    `why_not` says more of a pair that it does not. `stages` are the backends that run prediction stages. `values` are
    key/values that are compiled in, `tokens` what its tokenizer looks up. `reads_other_types`: it also loads types that
    this project does not write."""

    version: str
    types: Callable[[Slot, int], tuple[str, ...]]
    backends: Mapping[str, Mapping[Types, str]] = field(default_factory=dict)
    why_not: Mapping[tuple[str, Types], str] = field(default_factory=dict)
    stages: tuple[str, ...] = ()
    values: Mapping[str, Any] = field(default_factory=dict)
    tokens: tuple[str, ...] = ()
    reads_other_types: bool = False

    def unlike(self, value_of: Mapping[str, Any]) -> Iterator[str]:
        """What of a file's key/values is not what is compiled in: "deepseek4.block_count is 4, not 43". Lists may be
        longer; numbers agree within a millionth."""
        for key, wanted in self.values.items():
            found = value_of.get(key)
            short = found[: len(wanted)] if isinstance(wanted, tuple) and isinstance(found, tuple) else found
            near = isinstance(wanted, float) and isinstance(found, float | int) and isclose(found, wanted, rel_tol=1e-6)
            if short != wanted and not near:
                yield f"{key} is {_shown(found)}, not {_shown(wanted)}"

    def lacking(self, vocabulary: Iterable[str]) -> Iterator[str]:
        """Returns the tokens that its tokenizer looks up and a vocabulary does not have."""
        there = frozenset(vocabulary)
        return (token for token in self.tokens if token not in there)


def _shown(value: Any) -> str:
    return f"a list of {len(value)}" if isinstance(value, tuple) else "missing" if value is None else f"{value!r:.60}"


Routed = Iterable[tuple[str, int | None, str, Format]]
"""(block, layer, projection, format) of each stack of routed experts."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a backend makes of the types of routed experts: whether it runs them, in a few words, and where they are."""

    runs: bool
    words: str
    types: Types
    layers: tuple[int, ...]

    @property
    def where(self) -> str:
        return (
            f"{self.types[0]} for gate and up with {self.types[1]} for down, layers {', '.join(map(str, self.layers))}"
        )


def verdicts(engine: Engine, backends: Sequence[str], routed: Routed) -> Iterator[Verdict]:
    """Yields a verdict for each backend and pair of types about which there is something to say. Unknown backends run
    everything: that is another check's finding."""
    stacks: dict[tuple[str, int], dict[str, str]] = defaultdict(dict)
    for block, layer, projection, fmt in routed:
        if layer is not None and isinstance(fmt, Ggml):
            stacks[block, layer][projection] = fmt.type
    layers: dict[tuple[str, Types], list[int]] = defaultdict(list)
    for (block, layer), types in stacks.items():
        if {"gate", "down"} <= set(types):
            layers[block, (types["gate"], types["down"])].append(layer)
    for (block, pair), numbers in layers.items():
        for backend in backends:
            known = engine.backends.get(backend, {pair: ""})
            if block == "mtp" and backend not in engine.stages:
                yield Verdict(False, f"{backend} runs no prediction stage", pair, tuple(numbers))
            elif pair not in known:
                words = engine.why_not.get((backend, pair), "has no kernel for them")
                yield Verdict(False, f"{backend} {words}", pair, tuple(numbers))
            elif known[pair]:
                yield Verdict(True, f"{backend} {known[pair]}", pair, tuple(numbers))
