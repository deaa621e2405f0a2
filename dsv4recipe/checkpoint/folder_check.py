"""Floor 1, checkpoint. Checks that the headers agree with each other and with the index. This module is pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from dsv4recipe.checkpoint.listing import INDEX, report_case_twins
from dsv4recipe.errors import Problems, Where
from dsv4recipe.headers.safetensors import Header

SHOWN = 3
"""How many tensors a message names; it only counts the others."""


def check_names(headers: Sequence[Header], problems: Problems) -> None:
    """Reports tensors that appear twice (C008) and names that differ only in case (C009)."""
    file_of: dict[str, str] = {}
    twice: dict[tuple[str, str], list[str]] = defaultdict(list)
    for header in headers:
        for entry in header.tensors:
            other = file_of.setdefault(entry.name, header.file)
            if other is not header.file:
                twice[other, header.file].append(entry.name)
    for (first, second), names in twice.items():
        problems.error(
            "C008",
            f"{first} and {second} both hold {_count(names)}: {_some(names)}",
            Where(second),
            "keep one of the two: an index says which file has each tensor",
        )
    if len({name.casefold() for name in file_of}) != len(file_of):
        report_case_twins(file_of, "tensor names", "", problems)


def check_weight_map(weight_map: dict[str, str], headers: Sequence[Header], problems: Problems) -> None:
    """Reports shards that do not hold exactly the tensors that the index places there (C008).

    A shard whose header could not be read has its own finding and is skipped.
    """
    wanted: dict[str, set[str]] = {header.file: set() for header in headers}
    for name, file in weight_map.items():
        if file in wanted:
            wanted[file].add(name)
    for header in headers:
        held = {entry.name for entry in header.tensors}
        missing = sorted(wanted[header.file] - held)
        extra = sorted(held - wanted[header.file])
        hint = "the index and the shards come from different downloads or builds; download both again"
        if missing:
            message = f"{header.file} lacks {_count(missing)} that {INDEX} places there: {_some(missing)}"
            problems.error("C008", message, Where(header.file), hint)
        if extra:
            message = f"{header.file} holds {_count(extra)} that {INDEX} does not place there: {_some(extra)}"
            problems.error("C008", message, Where(header.file), hint)


def _count(names: Sequence[str]) -> str:
    return f"{len(names):,} tensor{'s' if len(names) > 1 else ''}"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return ", ".join(name[:200] if name.isprintable() else repr(name[:200]) for name in names[:SHOWN]) + more
