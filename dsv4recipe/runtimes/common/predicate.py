"""Floor 2, runtimes. How mlx-lm and its heirs decide the width of a module from the `quantization` section. This module
is pure.

The replay of loaders reads this table, and so does the probe in a runtime's own interpreter, which has no copy of this
project: the module imports nothing but the standard library.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Entry = Mapping[str, Any]
"""`bits`, `group_size`, `mode` of one module, or what a user wrote in their place."""

DEFAULTS = {"affine": (64, 4), "mxfp4": (32, 4), "nvfp4": (16, 4), "mxfp8": (32, 8)}
"""(group size, bits) where an entry does not say them, by mode."""

MODES = {(4, 16): "nvfp4", (4, 32): "mxfp4", (8, 32): "mxfp8"}
"""The mode of tensors with scales of one byte, by (bits, group size)."""


def whole(entry: Entry) -> dict[str, Any]:
    """Returns the entry, completed with what MLX takes for what it does not say."""
    mode = entry.get("mode", "affine")
    group, bits = DEFAULTS.get(mode, (None, None)) if isinstance(mode, str) else (None, None)
    return {"group_size": entry.get("group_size") or group, "bits": entry.get("bits") or bits, "mode": mode}


def own_entry(section: Entry, keys: Iterable[str]) -> tuple[bool, dict[str, Any] | None]:
    """Whether a module has an entry of its own, and how it wraps the module (None: not at all).

    The first of `keys` that is in the section decides. `true` stands for the global entry; `false` and an empty entry
    leave the module unquantized.
    """
    for key in keys:
        value = section.get(key)
        if key in ("bits", "group_size", "mode") or not isinstance(value, (dict, bool)):
            continue
        if isinstance(value, dict):
            return True, whole(value) if value else None
        return True, whole(section) if value else None
    return False, None
