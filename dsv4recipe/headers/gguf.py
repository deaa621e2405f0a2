"""Floor 1, headers. Reads and writes the header of a GGUF file: key/values and tensors, within limits.

The header is written here because a plan knows it exactly without a disk. It is read here because an unknown file must
not cost more than its header. In tests, the package gguf checks both. Reads header bytes only, writes no files.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

from dsv4recipe.errors import RecipeError, Where
from dsv4recipe.formats.base import stored_bytes
from dsv4recipe.formats.ggml.spec import TYPE_IDS
from dsv4recipe.headers.safetensors import MAX_TENSORS, TensorEntry, name_problem
from dsv4recipe.headers.strict_json import reason, regular_size

ALIGNMENT = 32
MAX_HEADER = 128 << 20
"""The largest header in bytes. That of V4-Flash with its tokenizer has 5.3 MB."""
MAX_PAIRS = 10_000

_MAGIC, _VERSION = b"GGUF", 3
_KINDS = {"u8": (0, "B"), "i8": (1, "b"), "u16": (2, "H"), "i16": (3, "h"), "u32": (4, "I"), "i32": (5, "i"),
          "f32": (6, "f"), "bool": (7, "?"), "u64": (10, "Q"), "i64": (11, "q"), "f64": (12, "d")}  # fmt: skip
_STRING, _ARRAY = 8, 9
_BY_NUMBER = {number: (kind, code) for kind, (number, code) in _KINDS.items()}
_TYPES = {number: name for name, number in TYPE_IDS.items()}
_OTHER_BLOCKS = {
    2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20), 6: ("Q5_0", 32, 22), 7: ("Q5_1", 32, 24), 9: ("Q8_1", 32, 36),
    11: ("Q3_K", 256, 110), 13: ("Q5_K", 256, 176), 14: ("Q6_K", 256, 210), 15: ("Q8_K", 256, 292),
    17: ("IQ2_XS", 256, 74), 18: ("IQ3_XXS", 256, 98), 19: ("IQ1_S", 256, 50), 20: ("IQ4_NL", 32, 18),
    21: ("IQ3_S", 256, 110), 22: ("IQ2_S", 256, 82), 23: ("IQ4_XS", 256, 136), 24: ("I8", 1, 1), 25: ("I16", 1, 2),
    27: ("I64", 1, 8), 28: ("F64", 1, 8), 29: ("IQ1_M", 256, 56), 34: ("TQ1_0", 256, 54), 35: ("TQ2_0", 256, 66),
    40: ("NVFP4", 64, 36),
}  # fmt: skip
"""Types that other tools write and we do not: number → name, weights and bytes of a block."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A key with its value. `kind` is "u32", "f32", "bool", "str" and so on, followed by "[]" for an array."""

    key: str
    kind: str
    value: Any


@dataclass(frozen=True)
class GgufHeader:
    """A header. `pairs` are by key. `tensors` are in the order of the file's list, with ggml types as dtypes, shapes
    with rows first, and absolute byte offsets."""

    file: str
    size: int
    data_start: int
    pairs: Mapping[str, Pair]
    tensors: tuple[TensorEntry, ...]

    def value(self, key: str, default: Any = None) -> Any:
        pair = self.pairs.get(key)
        return default if pair is None else pair.value


def padded(size: int) -> int:
    """Returns `size` rounded up to the next multiple of the alignment."""
    return -(-size // ALIGNMENT) * ALIGNMENT


def gguf_header_bytes(pairs: Sequence[Pair], tensors: Iterable[tuple[str, str, tuple[int, ...]]]) -> bytes:
    """Returns the padded header of a file that holds `tensors` (name, ggml type, shape) in order, each at a multiple of
    32 bytes."""
    listed = list(tensors)
    out = bytearray(_MAGIC + struct.pack("<IQQ", _VERSION, len(listed), len(pairs)))
    for pair in pairs:
        out += _text(pair.key) + _value(pair.kind, pair.value)
    offset = 0
    for name, dtype, shape in listed:
        out += _text(name) + struct.pack(f"<I{len(shape)}Q", len(shape), *reversed(shape))
        out += struct.pack("<IQ", TYPE_IDS[dtype], offset)
        offset += padded(stored_bytes(dtype, shape))
    return bytes(out.ljust(padded(len(out)), b"\0"))


def _text(value: str) -> bytes:
    raw = value.encode()
    return struct.pack("<Q", len(raw)) + raw


def _value(kind: str, value: Any) -> bytes:
    if kind == "str":
        return struct.pack("<I", _STRING) + _text(value)
    if kind == "str[]":
        return struct.pack("<IIQ", _ARRAY, _STRING, len(value)) + b"".join(map(_text, value))
    number, code = _KINDS[kind.removesuffix("[]")]
    if kind.endswith("[]"):
        return struct.pack(f"<IIQ{len(value)}{code}", _ARRAY, number, len(value), *value)
    return struct.pack(f"<I{code}", number, value)


def read_gguf_header(path: Path) -> GgufHeader:
    """Returns the header of the file at `path`. Raises RecipeError C060 (unreadable, not a GGUF, incomplete), C061
    (impossible values), C062 (a tensor list that does not fit the file)."""
    try:
        size = regular_size(path)
        with path.open("rb") as stream:
            return _Reader(stream, size, path.name).header()
    except OSError as error:
        raise _refusal("C060", path.name, f"the file cannot be read: {reason(error)}") from None


def _refusal(code: str, file: str, message: str, tensor: str = "") -> RecipeError:
    hint = "the file is damaged, or of another version of GGUF: copy or download it again"
    return RecipeError(code, message, Where(file, subject=tensor if tensor.isprintable() else repr(tensor)), hint)


class _Reader:
    """Reads fields in turn. Every length is compared with the file and the limit before its bytes are read."""

    def __init__(self, stream: BinaryIO, size: int, file: str) -> None:
        self.stream, self.size, self.file = stream, size, file
        self.position = 0

    def take(self, count: int) -> bytes:
        self.position += count
        if self.position > MAX_HEADER:
            raise _refusal("C061", self.file, f"the header would be longer than {MAX_HEADER:,} bytes")
        raw = self.stream.read(count) if self.position <= self.size else b""
        if len(raw) < count:
            raise _refusal("C060", self.file, "the file ends inside its header")
        return raw

    def numbers(self, code: str, count: int = 1) -> tuple[Any, ...]:
        return struct.unpack(f"<{count}{code}", self.take(count * struct.calcsize(f"<{code}")))

    def text(self) -> str:
        raw = self.take(self.numbers("Q")[0])
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError:
            raise _refusal("C061", self.file, f"a text before byte {self.position:,} is not UTF-8") from None

    def header(self) -> GgufHeader:
        if self.size < 24 or self.take(4) != _MAGIC:
            raise _refusal("C060", self.file, "it is not a GGUF file")
        (version,) = self.numbers("I")
        if version != _VERSION:
            raise _refusal("C060", self.file, f"it has GGUF version {version}, but this version reads {_VERSION}")
        tensors, pairs = self.numbers("Q", 2)
        if tensors > MAX_TENSORS or pairs > MAX_PAIRS:
            raise _refusal("C061", self.file, f"the header lists {tensors:,} tensors and {pairs:,} keys")
        found: dict[str, Pair] = {}
        for _ in range(pairs):
            pair = self.pair()
            if pair.key in found:
                raise _refusal("C061", self.file, f"the key {pair.key!r:.200} appears twice")
            found[pair.key] = pair
        listed = [self.tensor() for _ in range(tensors)]
        step = found["general.alignment"].value if "general.alignment" in found else ALIGNMENT
        if type(step) is not int or not 8 <= step <= 1 << 20 or step & (step - 1):
            raise _refusal("C061", self.file, f"general.alignment cannot be {step!r:.40}")
        start = -(-self.position // step) * step
        return GgufHeader(self.file, self.size, start, found, self.placed(listed, start, step))

    def pair(self) -> Pair:
        key, (number,) = self.text(), self.numbers("I")
        if number == _STRING:
            return Pair(key, "str", self.text())
        if number != _ARRAY:
            kind, code = self.known(number, key)
            return Pair(key, kind, self.numbers(code)[0])
        (inner,), (count,) = self.numbers("I"), self.numbers("Q")
        if count > MAX_HEADER:
            raise _refusal("C061", self.file, f"{key!r:.200} cannot be an array of {count:,} values")
        if inner == _STRING:
            return Pair(key, "str[]", tuple(self.text() for _ in range(count)))
        kind, code = self.known(inner, key)
        return Pair(key, kind + "[]", self.numbers(code, count))

    def known(self, number: int, key: str) -> tuple[str, str]:
        if number not in _BY_NUMBER:
            raise _refusal("C061", self.file, f"{key!r:.200} has a value of unknown type {number}")
        return _BY_NUMBER[number]

    def tensor(self) -> tuple[str, tuple[int, ...], int, int]:
        name, (rank,) = self.text(), self.numbers("I")
        if problem := name_problem(name):
            raise _refusal("C062", self.file, problem, name)
        if not 1 <= rank <= 4:
            raise _refusal("C062", self.file, f"a tensor cannot have {rank} dimensions", name)
        shape = tuple(reversed(self.numbers("Q", rank)))
        (number,), (offset,) = self.numbers("I"), self.numbers("Q")
        return name, shape, number, offset

    def placed(
        self, listed: list[tuple[str, tuple[int, ...], int, int]], start: int, step: int
    ) -> tuple[TensorEntry, ...]:
        """Returns the tensors with their bytes: each inside the file and aligned, with a unique name, and without
        overlap."""
        found = []
        for name, shape, number, offset in listed:
            dtype, size = self.bytes_of(name, shape, number)
            if offset % step:
                raise _refusal(
                    "C062", self.file, f"the tensor begins at {offset:,}, which is not a multiple of {step}", name
                )
            if start + offset + size > self.size:
                message = f"the tensor ends at byte {start + offset + size:,}, but the file has {self.size:,}"
                raise _refusal("C062", self.file, message, name)
            found.append(TensorEntry(name, dtype, shape, start + offset, start + offset + size))
        if len({entry.name for entry in found}) < len(found):
            raise _refusal("C062", self.file, "two tensors have the same name")
        ordered = sorted(found, key=lambda entry: (entry.start, entry.end))
        for one, other in pairwise(ordered):
            if other.start < one.end:
                raise _refusal("C062", self.file, f"the tensor overlaps {one.name}", other.name)
        return tuple(found)

    def bytes_of(self, name: str, shape: tuple[int, ...], number: int) -> tuple[str, int]:
        if prod(max(1, each) for each in shape) > 1 << 56:
            raise _refusal("C062", self.file, "the shape is impossibly large", name)
        if number in _TYPES:
            return _TYPES[number], stored_bytes(_TYPES[number], shape)
        if number not in _OTHER_BLOCKS:
            raise _refusal("C062", self.file, f"the tensor has the unknown type {number}", name)
        dtype, count, size = _OTHER_BLOCKS[number]
        return dtype, prod(shape) // count * size
