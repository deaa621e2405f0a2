"""Floor 0. Parses and prints sizes in bytes, GB (10^9) and GiB (2^30). A printed size never shows one unit alone."""

from __future__ import annotations

import re

UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
UNITS |= {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
_SIZE = re.compile(r"(?P<number>\d+(?:\.\d+)?) ?(?P<unit>[KMGT]?i?B)")


def parse_size(text: str) -> int:
    """Returns the number of bytes of a size with its unit: "5GiB" → 5368709120.

    Raises ValueError if the unit is missing or unknown, or if the result is not a whole number of bytes.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None or match["unit"] not in UNITS:
        raise ValueError(f"{text!r} is not a size with a unit, such as 5GiB or 5GB")
    whole, _, fraction = match["number"].partition(".")
    scaled = int(whole + fraction) * UNITS[match["unit"]]
    size, rest = divmod(scaled, int(10 ** len(fraction)))
    if rest:
        raise ValueError(f"{text!r} is not a whole number of bytes")
    return size


def gigabytes(size: int) -> str:
    """Returns a size in both units: 185739533896 → '185.740 GB / 172.983 GiB'."""
    return f"{size / 1e9:.3f} GB / {size / 2**30:.3f} GiB"


def human_size(size: int) -> str:
    """Returns a size in all units: 185739533896 → '185,739,533,896 B (185.740 GB / 172.983 GiB)'. Below 1 MB it
    returns the bytes alone."""
    return f"{size:,} B" if abs(size) < 10**6 else f"{size:,} B ({gigabytes(size)})"


def counted(number: int, noun: str) -> str:
    """Returns a number with its noun: 1, "shard" → '1 shard'; 45, "shard" → '45 shards'."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
