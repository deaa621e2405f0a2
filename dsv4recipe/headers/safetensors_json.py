"""Floor 1, headers. Reads the JSON of a safetensors header entry by entry: syntax and types. This module is pure.

It reads entry by entry so that memory stays limited for any text: no entry is parsed before its length is known to be
small, and the first bad one stops the reading. docs/reference/checkpoint.md says how strict it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from dsv4recipe.headers.strict_json import StrictJSONError, no_constant, unique

METADATA = "__metadata__"
MAX_ENTRY = 4096
"""The most characters of one tensor's description; real ones have about 80."""
MAX_METADATA = 1 << 20
"""The most characters of `__metadata__`."""

Entry = tuple[str, str, tuple[int, ...], int, int]
"""Name, dtype, shape, begin and end of data_offsets, with the right types but not yet checked for meaning."""


class EntryError(ValueError):
    """What is wrong with the header text, with its code and the tensor ("" if it is not at one)."""

    def __init__(self, message: str, tensor: str = "", code: str = "C042") -> None:
        super().__init__(message)
        self.tensor = tensor
        self.code = code


_KEYS = {"dtype", "shape", "data_offsets"}


def _no_float(text: str) -> Any:
    raise StrictJSONError(f"{text:.40} is not a whole number")


_DECODER = json.JSONDecoder(object_pairs_hook=unique, parse_float=_no_float, parse_constant=no_constant)
_STRING = re.compile(r'"(?:[^"\\]|\\.){0,4096}"', re.DOTALL)
_SPACE = re.compile(r"[ \t\n\r]*")
_COLON = re.compile(r"[ \t\n\r]*:[ \t\n\r]*")
_NEXT = re.compile(r"[ \t\n\r]*([,}])")
_NUMBER = r"(0|[1-9][0-9]{0,18})"
_COMPACT = re.compile(
    r'"([^"\\\x00-\x1f]{0,512})":\{"dtype":"([A-Z0-9_]{1,16})",'
    rf'"shape":\[((?:[1-9][0-9]{{0,18}},)*[1-9][0-9]{{0,18}}|0)\],"data_offsets":\[{_NUMBER},{_NUMBER}\]\}}([,}}])'
)
"""An entry as the safetensors package writes it, with the separator after it: four times faster than `json`."""


def header_entries(text: str, metadata: dict[str, str]) -> Iterator[Entry]:
    """Yields each tensor's entry in the order of the text; `metadata` receives what `__metadata__` holds.

    Raises EntryError: C042 not strict JSON, C045 a description of the wrong form, C048 bad metadata.
    """
    if not text.startswith("{"):
        raise EntryError("the header does not start with {")
    position = _skip_space(text, 1)
    more = not text.startswith("}", position)
    if not more:
        position += 1
    seen: set[str] = set()
    shapes: dict[str, tuple[int, ...]] = {}
    while more:
        match = _COMPACT.match(text, position)
        if match is not None and match[1] != METADATA:
            name, dtype, sizes, begin, end, after = match.groups()
            shape = shapes.get(sizes)
            if shape is None:
                shape = shapes[sizes] = tuple(map(int, sizes.split(",")))
            entry: Entry | None = (name, dtype, shape, int(begin), int(end))
            position = match.end()
        else:
            name, entry, position, after = _any_entry(text, position, metadata)
        if name in seen:
            raise EntryError("the name appears twice in the header", name)
        seen.add(name)
        if entry is not None:
            yield entry
        more = after == ","
    position = _skip_space(text, position)
    if position != len(text):
        raise EntryError(f"the header continues after its closing }} at character {position:,}")


def _any_entry(text: str, position: int, metadata: dict[str, str]) -> tuple[str, Entry | None, int, str]:
    """Returns an entry in any valid JSON spelling: (name, entry or None for metadata, position after it, "," or
    "}")."""
    position = _skip_space(text, position)
    if not text.startswith('"', position):
        raise EntryError(f"the header is not JSON: a name is expected at character {position:,}")
    string = _STRING.match(text, position)
    if string is None:
        raise EntryError(f"the name at character {position:,} is not closed within {MAX_ENTRY:,} characters")
    name = ""
    entry = None
    try:
        name, _ = _DECODER.raw_decode(string[0])
        position = string.end()
        colon = _COLON.match(text, position)
        if colon is None:
            raise EntryError(f"the header is not JSON: a colon is expected at character {position:,}", name)
        position = colon.end()
        value, length = _DECODER.raw_decode(_piece(text, position, name))
    except json.JSONDecodeError as error:
        raise EntryError(f"the header is not JSON near character {position:,}: {error.msg}", name) from None
    except StrictJSONError as error:
        raise EntryError(str(error), name) from None
    except RecursionError:
        raise EntryError("the header is nested too deeply", name) from None
    if name == METADATA:
        metadata.update(_metadata(value))
    else:
        entry = (name, *_description(value, name))
    after = _NEXT.match(text, position + length)
    if after is None:
        raise EntryError(f"the header is not JSON: a comma or }} is expected at character {position + length:,}", name)
    return name, entry, after.end(), after[1]


def _piece(text: str, position: int, name: str) -> str:
    """Returns the text of one value; its length is limited before anything parses it."""
    if name == METADATA:
        return text[position : position + MAX_METADATA]
    close = text.find("}", position, position + MAX_ENTRY)
    if close < 0:
        raise EntryError(f"the description is not closed within {MAX_ENTRY:,} characters", name)
    piece = text[position : close + 1]
    if "-" in piece:  # no description needs one, and json reads "-0" as a whole number
        raise EntryError("the description holds a negative number", name)
    return piece


def _description(value: Any, name: str) -> tuple[str, tuple[int, ...], int, int]:
    """Returns dtype, shape, begin and end of a parsed description, with the right types (a boolean is not a number)."""
    if type(value) is not dict or value.keys() != _KEYS:
        raise EntryError("the description must hold only dtype, shape and data_offsets", name, "C045")
    dtype, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
    if type(dtype) is not str:
        raise EntryError("the dtype must be text", name, "C045")
    if type(shape) is not list or not set(map(type, shape)) <= {int}:
        raise EntryError("the shape must be a list of whole numbers", name, "C045")
    if type(offsets) is not list or list(map(type, offsets)) != [int, int]:
        raise EntryError("data_offsets must be two whole numbers", name, "C045")
    return dtype, tuple(shape), offsets[0], offsets[1]


def _metadata(value: Any) -> dict[str, str]:
    """Returns `__metadata__`, which must map text to text."""
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise EntryError("__metadata__ must map text to text", METADATA, "C048")
    try:
        "".join((*value, *value.values())).encode()
    except UnicodeEncodeError:  # half of a surrogate pair, written as an escape
        raise EntryError("__metadata__ holds text that is not Unicode", METADATA, "C048") from None
    return value


def _skip_space(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    return position if match is None else match.end()
