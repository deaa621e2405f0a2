"""Floor 1, importance. Parses llama.cpp's first imatrix format (`.dat`, also ds4's) into entries. This module is pure.

It is little-endian: i32 entries; per entry i32 length, name, i32 calls, i32 numbers, f32 numbers; then, in newer files,
i32 chunks, i32 length, data set. The numbers are divided by the calls.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

from dsv4recipe.importance.model import Floats

MAX_ENTRIES, MAX_NAME = 1 << 20, 4096


@dataclass(slots=True)
class _Bytes:
    data: bytes
    at: int = 0

    def take(self, size: int, what: str) -> bytes:
        if size < 0 or self.at + size > len(self.data):
            raise ValueError(f"it ends within {what} (byte {self.at:,})")
        self.at += size
        return self.data[self.at - size : self.at]

    def number(self, what: str, most: int) -> int:
        value = int(struct.unpack("<i", self.take(4, what))[0])
        if not 0 <= value <= most:
            raise ValueError(f"{what} is {value:,}, but at most {most:,} is possible (byte {self.at - 4:,})")
        return value

    def text(self, what: str) -> str:
        return self.take(self.number(f"the length of {what}", MAX_NAME), what).decode("utf-8")


def read_dat(data: bytes) -> tuple[dict[str, Floats], tuple[str, ...], int]:
    """Returns (entries, data sets, chunks). Raises ValueError, which says what is wrong and where."""
    read = _Bytes(data)
    entries: dict[str, Floats] = {}
    for position in range(read.number("the number of entries", MAX_ENTRIES)):
        name = read.text(f"the name of entry {position}")
        calls = read.number(f"the calls of {name}", 2**31 - 1)
        count = read.number(f"the size of {name}", len(data) // 4)
        values = np.frombuffer(read.take(4 * count, name), "<f4")
        if name in entries:
            raise ValueError(f"it has two entries called {name}")
        entries[name] = np.divide(values, max(calls, 1), dtype=np.float32)
    if not entries:
        raise ValueError("it has no entries")
    if read.at == len(data):
        return entries, (), 0
    chunks = read.number("the number of chunks", 2**31 - 1)
    dataset = read.text("the data set")
    if read.at != len(data):
        raise ValueError(f"{len(data) - read.at:,} bytes follow its end")
    return entries, ((dataset,) if dataset else ()), chunks
