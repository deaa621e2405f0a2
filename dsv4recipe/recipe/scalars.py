"""Floor 1, recipe. Resolves plain scalars by the YAML 1.2 core schema and refuses misleading ones. This module is pure.

The core schema is in YAML 1.2.2, section 10.3.2. There, `3_6`, `no`, `2:30` and dates are text and `1e-3` is a number.
"""

from __future__ import annotations

import math
import re

Value = str | int | float | bool | None

MAX_DIGITS = 40

_WORDS: dict[str, Value] = {"": None, "~": None, "null": None, "Null": None, "NULL": None}
_WORDS |= {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"[-+]?[0-9]+")
_BASED = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")


def resolve(text: str) -> Value:
    """Returns the value of a plain scalar. Raises ValueError(message, hint) if a number is not what it seems."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "+-.0123456789":
        return text
    quoted = f'quote it if it is text: "{text}"'
    if _NOT_FINITE.fullmatch(text):
        raise ValueError(f"{text} is not a finite number", quoted)
    if not (_INT.fullmatch(text) or _BASED.fullmatch(text) or _FLOAT.fullmatch(text)):
        return text
    if len(text) > MAX_DIGITS:
        raise ValueError(f"this number has {len(text)} characters, which is too long", "quote it if it is text")
    if _INT.fullmatch(text):
        digits = text.lstrip("+-")
        if digits[0] == "0" and len(digits) > 1:
            mend = f"{int(text)}"
            raise ValueError(f"{text} has a leading zero", f'write {mend}, or "{text}" in quotes if it is text')
        return int(text)
    if _BASED.fullmatch(text):
        return int(text[2:], 8 if text[1] == "o" else 16)
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} reads as a number that is too large", quoted)
    return number
