"""Floor 1, recipe. Converts layer lists such as `[0-2, 7, hash]` to numbers and set names, and back. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from dsv4recipe.errors import did_you_mean
from dsv4recipe.recipe.model import LAYER_SETS

MAX_LAYER = 1023
_WITHIN = "`dsv4recipe inspect` says how many layers a checkpoint has; the first is 0"


def parse_layer(value: object) -> tuple[tuple[int, ...], str]:
    """Returns (numbers, "") for a number or range, ((), name) for a named set. Raises ValueError(message, hint)."""
    if isinstance(value, str) and value in LAYER_SETS:
        return (), value
    if isinstance(value, int) and not isinstance(value, bool):
        if not 0 <= value <= MAX_LAYER:
            raise ValueError(f"{value} is not a layer number; layers are numbered from 0 to {MAX_LAYER}", _WITHIN)
        return (value,), ""
    if isinstance(value, str):
        first, dash, last = value.partition("-")
        if dash and first.isdecimal() and last.isdecimal() and value.isascii():
            return _range(first, last), ""
        hint = did_you_mean(value, LAYER_SETS)
        if value.isdecimal():
            hint = f"write {value} without quotes"
        raise ValueError(f'"{value[:40]}" is not a layer number, a range or a named set', hint)
    raise ValueError("a layer is a number, a range such as 0-2, or a named set", "")


def _range(first: str, last: str) -> tuple[int, ...]:
    if any(len(end) > 1 and end[0] == "0" for end in (first, last)):
        raise ValueError(f"{first[:9]}-{last[:9]} has a leading zero", "write layer numbers without leading zeros")
    if len(first) > 4 or len(last) > 4 or int(last) > MAX_LAYER:
        raise ValueError(f"{first[:9]}-{last[:9]} goes beyond layer {MAX_LAYER}", _WITHIN)
    if int(first) > int(last):
        raise ValueError(f"the range {first}-{last} runs backwards", f"write {last}-{first}")
    return tuple(range(int(first), int(last) + 1))


def compact(numbers: Iterable[int]) -> list[int | str]:
    """Returns [0, 1, 2, 7] → ["0-2", 7]."""
    runs: list[list[int]] = []
    for number in sorted(set(numbers)):
        if runs and runs[-1][1] == number - 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return [first if first == last else f"{first}-{last}" for first, last in runs]
