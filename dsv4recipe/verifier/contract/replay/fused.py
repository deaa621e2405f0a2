"""Floor 4, verifier. Joins gate and up of the routed experts as a loader that fuses them does. This module is pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dsv4recipe.checkpoint.dims import Dims
from dsv4recipe.runtimes.common.loader import Given, Stored
from dsv4recipe.runtimes.common.predicate import whole


def fuse(dims: Dims, section: Mapping[str, Any], given: Given, wanted: dict[str, tuple[int, ...]]) -> list[str]:
    """Joins gate and up, rows one after the other, in `given` and `wanted`, if the config gives both one width
    (Rapid-MLX).

    Returns why pairs with equal entries in the config cannot be fused.
    """
    problems: list[str] = []
    blocks = [f"model.layers.{layer}" for layer in range(dims.layers)]
    blocks += [f"mtp.{stage}" for stage in range(dims.stages)]
    for block in blocks:
        gate, up = (f"{block}.ffn.switch_mlp.{p}_proj" for p in ("gate", "up"))
        if whole(section.get(gate) or section) != whole(section.get(up) or section):
            continue
        for suffix in (".weight", ".scales", ".biases"):
            if gate + suffix in wanted and wanted.pop(up + suffix, None) is not None:
                experts, rows, columns = wanted[gate + suffix]
                wanted[gate + suffix] = (experts, 2 * rows, columns)
            one, other = given.get(gate + suffix), given.pop(up + suffix, None)
            if (one is None) != (other is None):
                lost = (up if other is None else gate) + suffix
                problems.append(f"Cannot fuse routed gate/up projections: {lost} is missing")
            elif one is not None and other is not None and one.shape[-1] != other.shape[-1]:
                problems.append(f"{gate}{suffix} and its up_proj have different widths and cannot be fused")
            elif one is not None and other is not None:
                experts, rows, columns = one.shape
                given[gate + suffix] = Stored(one.dtype, (experts, rows + other.shape[1], columns))
    return problems
