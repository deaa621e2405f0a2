"""Floor 1, checkpoint. Finds the safetensors files that make up a checkpoint. Reads the folder listing and the
index."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from dsv4recipe.checkpoint.source import Source
from dsv4recipe.errors import Problems, RecipeError, Where
from dsv4recipe.headers.safe_path import path_problem
from dsv4recipe.headers.strict_json import object_from, reason
from dsv4recipe.hub.error import HubError

INDEX = "model.safetensors.index.json"
_AGAIN = "download the index of this very revision again"
MAX_INDEX = 64_000_000
MAX_SHARDS = 100_000
_NUMBERED = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<total>\d{5})\.safetensors")


@dataclass(frozen=True, slots=True)
class Listing:
    """Holds the checkpoint's files that exist, sorted, and the index's tensor → file map (None without an index).
    `present` lists all safetensors files of the folder, and `wanted` is how many there should be."""

    shards: tuple[str, ...]
    weight_map: dict[str, str] | None
    present: tuple[str, ...] = ()
    wanted: int = 0


def list_shards(source: Source, beside: frozenset[str], problems: Problems) -> Listing:
    """Returns the files that belong to the checkpoint in `source`. Missing, stray and unsafe files are added to
    `problems`."""
    try:
        names = source.names()
    except OSError as error:
        problems.error(
            "C001",
            f"{source.place} cannot be listed: {reason(error)}",
            Where(source.place),
            "check the path, and that you may read the folder",
        )
        return Listing((), None)
    # Hidden files are not shards: no loader reads them, and some systems leave "._x" beside each "x".
    present = [name for name in names if name.endswith(".safetensors") and not name.startswith(".")]
    present = [name for name in present if name not in beside]
    others = [name for name in names if name.endswith((".gguf", ".bin", ".pt", ".pth")) and not name.startswith(".")]
    if not present and INDEX not in names and others:
        gguf = others[0].endswith(".gguf")
        what = "a GGUF, which is already quantized" if gguf else "a pickle, which is never opened"
        message = f"{source.place} holds no .safetensors file; {others[0]} is {what}"
        hint = "pass the safetensors checkpoint that it was made from, a folder or hf://org/repo"
        problems.error("C004", message, Where(source.place), hint, _some(others))
        return Listing((), None)
    if INDEX not in names:
        return without_index(source.place, present, problems)
    try:
        index, _ = object_from(lambda: source.small(INDEX, MAX_INDEX), INDEX, "C003")
        weight_map = _weight_map(index)
    except HubError:
        raise
    except RecipeError as error:
        problems.found += error.diagnostics
        return Listing((), None)
    shards = _named_shards(source, sorted(set(weight_map.values())), problems)
    for name in sorted(set(present) - set(weight_map.values())):
        problems.error(
            "C007",
            f"{name} is in the folder but not in {INDEX}",
            Where(name),
            "loaders that read every file would load it; remove the file, or add the index that names it",
        )
    return Listing(shards, weight_map, tuple(present), len(set(weight_map.values())))


def _weight_map(index: dict[str, Any]) -> dict[str, str]:
    found = index.get("weight_map")
    if not isinstance(found, dict) or not found or not all(isinstance(file, str) for file in found.values()):
        message = f"{INDEX} must hold weight_map, an object that maps tensors to file names"
        raise RecipeError("C003", message, Where(INDEX), _AGAIN)
    return found


def _named_shards(source: Source, names: list[str], problems: Problems) -> tuple[str, ...]:
    """Returns the shards that an index names: each safe, each present, and all different on any file system."""
    if len(names) > MAX_SHARDS:
        problems.error(
            "C003", f"{INDEX} names {len(names):,} files; at most {MAX_SHARDS:,} are allowed", Where(INDEX), _AGAIN
        )
        return ()
    report_case_twins(names, "file names", INDEX, problems)
    good = []
    for name in names:
        try:
            there = source.holds(name, INDEX)
        except RecipeError as error:
            problems.found += error.diagnostics
            continue
        if not name.endswith(".safetensors"):
            problems.error(
                "C005", f"{INDEX} names {name!r:.300}, which is not a .safetensors file", Where(INDEX), _AGAIN
            )
        elif not there:
            hint = "the download is not complete; download the file again"
            problems.error("C006", f"{INDEX} names {name}, but there is no such file", Where(name), hint)
        else:
            good.append(name)
    return tuple(good)


def without_index(place: str, present: Sequence[str], problems: Problems) -> Listing:
    """Returns one file, or a numbered set without gaps. No other set of files can be known to be complete."""
    wanted = len(present)
    good = [name for name in present if not path_problem(name)]
    for name in sorted(set(present) - set(good)):
        problems.error(
            "C005",
            f"the file name {name!r:.300} is refused: {path_problem(name)}",
            Where(place),
            "find out who wrote this name before you use the folder; then rename the file",
        )
    matches = [match for match in map(_NUMBERED.fullmatch, good) if match]
    sets = {(match["stem"], match["total"]) for match in matches}
    if not good:
        if not present:
            hint = "give the folder that holds the safetensors files"
            problems.error("C004", f"{place} holds no .safetensors file", Where(place), hint)
    elif len(sets) == 1 and len(matches) == len(good):
        stem, total = next(iter(sets))
        numbers = {int(match["number"]) for match in matches}
        wanted = int(total)
        due = set(range(1, wanted + 1))
        for wrong, what in ((due - numbers, "missing"), (numbers - due, f"numbered outside 1 to {int(total)}")):
            names = [f"{stem}-{number:05d}-of-{total}.safetensors" for number in sorted(wrong)]
            if names:
                message = f"of the numbered set {stem}-*-of-{total}, {len(names)} of the files are {what}"
                hint = "the download is not complete; download these files again"
                problems.error("C006", message, Where(names[0]), hint, _some(names))
    elif len(good) > 1 or sets:
        message = f"{len(good)} .safetensors files without {INDEX} are neither one file nor one numbered set"
        problems.error("C004", message, Where(place), f"add {INDEX} to the folder", _some(good))
    return Listing(tuple(good), None, tuple(good), wanted)


def report_case_twins(names: Iterable[str], what: str, file: str, problems: Problems) -> None:
    """Reports C009 for names that differ only in case: on many disks one would hide the other."""
    first: dict[str, str] = {}
    for name in sorted(names):
        twin = first.setdefault(name.casefold(), name)
        if twin != name:
            problems.error(
                "C009",
                f"two {what} differ only in case: {twin} and {name}",
                Where(file, subject=name),
                "rename or remove one of the two",
            )


def _some(names: list[str]) -> tuple[str, ...]:
    return (*names[:5], f"and {len(names) - 5} more") if len(names) > 5 else tuple(names)
