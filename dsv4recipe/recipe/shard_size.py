"""Floor 1, recipe. Converts `target.shard-size` between text and bytes; 0 bytes means one file of any size. This module
is pure."""

from __future__ import annotations

from dsv4recipe.units import UNITS, parse_size

ONE_FILE = "none"


def parse_shard_size(text: str) -> int:
    """Returns the bytes of a size with its unit, 0 for "none". Raises ValueError as `parse_size` does."""
    return 0 if text == ONE_FILE else parse_size(text)


def size_text(size: int) -> str:
    """Returns a size in the largest unit that divides it: 5368709120 → "5GiB"; 0 → "none"."""
    if not size:
        return ONE_FILE
    units = sorted(UNITS.items(), key=lambda item: -item[1])
    name, factor = next((name, factor) for name, factor in units if size % factor == 0)
    return f"{size // factor}{name}"
