"""Floor 1, headers. Reads the header of one safetensors file: names, dtypes, shapes, offsets. Reads header bytes only.

It is stricter than safetensors and mlx, which load files with gaps, duplicate keys or strange names. What passes here,
safetensors accepts too (docs/reference/checkpoint.md). It is also the only place that writes a header.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from operator import attrgetter
from pathlib import Path
from typing import Any

from dsv4recipe.errors import RecipeError, Where
from dsv4recipe.formats.base import ITEM_SIZE
from dsv4recipe.headers.safetensors_json import METADATA, Entry, EntryError, header_entries
from dsv4recipe.headers.strict_json import reason, regular_size

MAX_HEADER = 20_000_000
"""The largest header in bytes. All 69,187 tensors of V4-Flash in one file would need 8 MB."""
MAX_TENSORS = 50_000
"""The most tensors in one file. All of V4-Flash would fit, and reading them takes at most a second."""
MAX_NAME = 512
_MAX_ELEMENTS = 1 << 56


@dataclass(frozen=True, slots=True)
class TensorEntry:
    """One tensor of a file: safetensors dtype, shape as stored, absolute byte offsets [start, end) in the file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int

    @property
    def nbytes(self) -> int:
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class Header:
    """A file's header. `file` is its name in the folder (posix), `size` the bytes of the file, `digest` the sha256
    (hex) of the 8 length bytes and the header. `tensors` are in offset order."""

    file: str
    size: int
    digest: str
    data_start: int
    tensors: tuple[TensorEntry, ...]
    metadata: tuple[tuple[str, str], ...]


_BROKEN = "the header is damaged or not that of a safetensors file: download the file from its author again"


def read_header(path: Path, file: str | None = None) -> Header:
    """Returns the header of the file at `path`, called `file` in messages. Reads nothing after the header.

    Raises RecipeError C040-C048 (docs/errors/C.md).
    """
    file = path.name if file is None else file
    try:
        size = regular_size(path)
        with path.open("rb") as stream:
            length = header_length(stream.read(8), size, file)
            stream.seek(0)
            raw = stream.read(8 + length)
    except OSError as error:
        raise _refusal("C040", file, f"the file cannot be read: {reason(error)}") from None
    return parse_header(raw, size, file)


def parse_header(raw: bytes, size: int, file: str) -> Header:
    """Returns the header in `raw` (8 length bytes and header bytes; the rest is ignored) of a file of `size` bytes."""
    data_start = 8 + header_length(raw, size, file)
    if len(raw) < data_start:
        raise _refusal("C040", file, "the file ends inside its header", hint="download it again")
    raw = raw[:data_start]
    try:
        text = str(memoryview(raw)[8:], "utf-8")
    except UnicodeDecodeError as error:
        raise _refusal("C042", file, f"the header is not UTF-8: byte {error.start:,}") from None
    tensors: list[TensorEntry] = []
    metadata: dict[str, str] = {}
    sizes: dict[tuple[str, tuple[int, ...]], int] = {}
    try:
        for entry in header_entries(text, metadata):
            if len(tensors) == MAX_TENSORS:
                raise _refusal("C041", file, f"the header lists more than {MAX_TENSORS:,} tensors")
            tensors.append(_tensor(entry, data_start, file, sizes))
    except EntryError as error:
        raise _refusal(error.code, file, str(error), error.tensor) from None
    tensors.sort(key=attrgetter("start", "end"))
    _check_cover(tensors, data_start, size, file)
    return Header(file, size, hashlib.sha256(raw).hexdigest(), data_start, tuple(tensors), tuple(metadata.items()))


def header_length(raw: bytes, size: int, file: str) -> int:
    """Returns the length of the header as its first 8 bytes state it; `size` is that of the file.

    It is checked against limit and file before another byte is read. Raises RecipeError C040 or C041.
    """
    if len(raw) < 8 or size < 8:
        raise _refusal("C040", file, f"{size:,} bytes are too few for a safetensors file", hint="download it again")
    length = int.from_bytes(raw[:8], "little")
    if length > MAX_HEADER:
        message = f"the header would be {length:,} bytes long; more than {MAX_HEADER:,} are refused"
        raise _refusal("C041", file, message, hint="check that this is a safetensors file")
    if 8 + length > size:
        message = f"the file ends inside its header: {8 + length:,} bytes are needed, but it has {size:,}"
        raise _refusal("C040", file, message, hint="download it again")
    return length


def header_bytes(
    entries: Iterable[tuple[str, str, tuple[int, ...]]], metadata: Mapping[str, str] | Iterable[tuple[str, str]] = ()
) -> bytes:
    """Returns the 8 length bytes and the header of a file that holds `entries` (name, dtype, shape) in order without
    gaps.

    It is compact JSON, padded with spaces to a multiple of 8 bytes, so that the data are aligned.
    """
    header: dict[str, Any] = {}
    named = dict(metadata)
    if named:
        header[METADATA] = named
    offset = 0
    for name, dtype, shape in entries:
        end = offset + prod(shape) * ITEM_SIZE[dtype]
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": (offset, end)}
        offset = end
    body = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    body += b" " * (-len(body) % 8)
    return len(body).to_bytes(8, "little") + body


def name_problem(name: str) -> str:
    """Returns why no tensor may have this name, or "" if it may."""
    if not name:
        return "the name is empty"
    if len(name) > MAX_NAME:
        return f"the name is longer than {MAX_NAME} characters"
    if not name.isprintable():
        return "the name holds a character that cannot be printed"
    if ".." in name or "\\" in name or name[0] == "/":
        return 'the name holds "..", a backslash or a leading "/", as a path would'
    return ""


def _refusal(code: str, file: str, message: str, tensor: str = "", hint: str = _BROKEN) -> RecipeError:
    shown = tensor[:MAX_NAME]
    return RecipeError(code, message, Where(file, subject=shown if shown.isprintable() else repr(shown)), hint)


def _tensor(entry: Entry, data_start: int, file: str, sizes: dict[tuple[str, tuple[int, ...]], int]) -> TensorEntry:
    """Returns one entry after checking its meaning, with absolute offsets. `sizes` caches the bytes of (dtype,
    shape)."""
    name, dtype, shape, begin, end = entry
    problem = name_problem(name)
    if problem:
        raise _refusal("C043", file, problem, name)
    needed = sizes.get((dtype, shape))
    if needed is None:
        needed = sizes[dtype, shape] = _nbytes(dtype, shape, name, file)
    if end - begin != needed:
        message = (
            f"{dtype} {list(shape)} needs {needed:,} bytes, but data_offsets [{begin}, {end}] hold {end - begin:,}"
        )
        raise _refusal("C045", file, message, name)
    return TensorEntry(name, dtype, shape, data_start + begin, data_start + end)


def _nbytes(dtype: str, shape: tuple[int, ...], name: str, file: str) -> int:
    """Returns the bytes of a tensor. The limit also holds for the sizes next to a 0, because safetensors multiplies
    from left to right."""
    if dtype not in ITEM_SIZE:
        raise _refusal("C044", file, f"the dtype {dtype!r:.80} is unknown", name, "known: " + ", ".join(ITEM_SIZE))
    if prod(number for number in shape if number) > _MAX_ELEMENTS:
        raise _refusal("C045", file, "the shape is impossibly large", name)
    return prod(shape) * ITEM_SIZE[dtype]


def _check_cover(tensors: list[TensorEntry], data_start: int, size: int, file: str) -> None:
    """Checks that the tensors, in offset order, cover the data of the file without gap, overlap or rest."""
    reached = data_start
    for entry in tensors:
        if entry.start != reached:
            what = "leaves a gap before it" if entry.start > reached else "overlaps the tensor before it"
            raise _refusal("C046", file, f"the tensor {what} at byte {min(entry.start, reached):,}", entry.name)
        reached = entry.end
    if reached > size:
        message = f"the file is truncated: its header promises {reached:,} bytes, but it has {size:,}"
        raise _refusal("C047", file, message, hint="download it again")
    if reached < size:
        message = f"the file continues for {size - reached:,} B after the last tensor"
        raise _refusal(
            "C047", file, message, hint="download it again, because data was appended or its header was replaced"
        )
