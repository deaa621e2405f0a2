"""Floor 4, verifier (child side). Watches a strict loader: which names and shapes its model needs and gets.

The loader's last step is one `load_weights` over the whole model. The request is recorded before it may fail, so that a
bundle that does not load still gets its lists.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mlx.nn.layers.base import Module
from mlx.utils import tree_flatten


@contextmanager
def watched() -> Iterator[dict[str, Any]]:
    """Yields {"strict", "parameters" (a count), "missing", "unexpected", "misshapen"} of the largest `load_weights` in
    the block; it is empty if there was none."""
    kind: Any = Module
    seen: dict[str, Any] = {}
    original = kind.load_weights

    def load_weights(self: Any, weights: Any, strict: bool = True) -> Any:
        wanted = {name: tuple(value.shape) for name, value in _flat(self.parameters())}
        if isinstance(weights, list) and len(wanted) >= seen.get("parameters", 0):
            given = {name: tuple(value.shape) for name, value in weights}
            seen.update(
                strict=strict,
                parameters=len(wanted),
                missing=sorted(wanted.keys() - given.keys()),
                unexpected=sorted(given.keys() - wanted.keys()),
                misshapen=[
                    f"{name}: stored {list(given[name])}, the model has {list(wanted[name])}"
                    for name in sorted(wanted.keys() & given.keys())
                    if wanted[name] != given[name]
                ],
            )
        return original(self, weights, strict=strict)

    kind.load_weights = load_weights
    try:
        yield seen
    finally:
        kind.load_weights = original


def _flat(tree: Any) -> list[tuple[str, Any]]:
    flat: Any = tree_flatten(tree)
    return list(flat)
