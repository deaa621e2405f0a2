"""Floor 4, evaluation. Splits a quantized model into parts that are measured alone: by role, layer or module. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from dsv4recipe.checkpoint.graph import Checkpoint, Group
from dsv4recipe.forward.weights import Weights

WAYS = ("role", "layer", "module")


def parts(checkpoint: Checkpoint, weights: Weights, way: str) -> Mapping[str, tuple[Group, ...]]:
    """Returns the groups of the main model whose numbers may differ from the source's, by role ("routed-expert"), layer
    ("layer 3", "no layer") or module ("layers.3.ffn.experts.{E}.w1"), in the checkpoint's order."""
    found: dict[str, list[Group]] = {}
    for group in checkpoint.groups:
        if group.slot.block == "main" and weights.differs(group):
            found.setdefault(_name(group, way), []).append(group)
    return {name: tuple(groups) for name, groups in found.items()}


def _name(group: Group, way: str) -> str:
    slot = group.slot
    if way == "role":
        return slot.row.role
    if way == "layer":
        return "no layer" if slot.layer is None else f"layer {slot.layer}"
    return slot.stem


def first_layer(groups: tuple[Group, ...], layers: int) -> int:
    """Returns the layer before which nothing differs, or `layers` if only what follows the last layer differs."""
    places = [0 if g.names == "embed.weight" else layers if g.slot.layer is None else g.slot.layer for g in groups]
    return min(places, default=layers)
