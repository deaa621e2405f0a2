"""Floor 1, checkpoint. What is wrong with a checkpoint's tensors, a thousand of a kind as one. This module is pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable

from dsv4recipe.checkpoint.dims import Dims
from dsv4recipe.checkpoint.family import Family
from dsv4recipe.checkpoint.folder import Folder
from dsv4recipe.errors import Problems, RecipeError, Where

_HINTS = {
    "C020": "check that config.json belongs to these weights; unknown names are never guessed",
    "C021": "the download is not complete, or config.json belongs to other weights",
    "C022": "download all shards from one revision",
    "C023": "download all from one revision; after pruning, config.json must say how many experts are left",
    "C024": "download config.json and shards from one revision, or store the tensor as the releases do",
}
_MANY = 8
"""Tensors at least before names are called those of another tool."""


class Findings:
    """Collects findings per code and reason; a thousand missing experts are one finding that names them all."""

    def __init__(self, folder: Folder):
        self.folder = folder
        self.found: dict[tuple[str, str], list[str]] = defaultdict(list)

    def add(self, code: str, tensor: str, reason: str) -> None:
        self.found[code, reason].append(tensor)

    def of(self, code: str) -> list[str]:
        """Returns the tensors that a code was found at."""
        return [name for (each, _), names in self.found.items() if each == code for name in names]

    def raise_if_any(self) -> None:
        problems = Problems()
        for (code, reason), names in sorted(self.found.items()):
            count = "" if len(names) == 1 else f" ({len(names):,} tensors)"
            where = Where(self.folder.place, subject=names[0])
            problems.error(code, f"{names[0]}: {reason}{count}", where, _HINTS[code], notes=names[1:])
        problems.raise_if_any()


def report_strangers(names: Collection[str], family: Family, dims: Dims, problems: Findings) -> None:
    """Adds C020 for names that the family's table does not have, C022 for scales without their weights."""
    for name in names:
        if name.endswith(".scale"):
            if name.removesuffix("scale") + "weight" not in names:
                problems.add("C022", name, "this scale has no weight")
            elif family.slot(name.removesuffix("scale") + "weight", dims) is None:
                problems.add("C020", name, f"the family {family.name} has no tensor of this name")
        elif family.slot(name, dims) is None:
            problems.add("C020", name, f"the family {family.name} has no tensor of this name under this config")


def refuse_other_names(problems: Findings, entries: Iterable[str], family: Family, expected: int) -> None:
    """Raises RecipeError C028, and nothing of the thousands of names, where most are of a tool that no table knows."""
    entries = tuple(entries)
    strange, missing = problems.of("C020"), problems.of("C021")
    if len(strange) < _MANY or 2 * len(strange) < len(entries) or 2 * len(missing) < expected:
        return
    message = (
        f"{len(strange):,} of {len(entries):,} tensors have names that no table for {family.name} knows, such as "
        f"{strange[0]}"
    )
    hint = (
        "known are the names of the release, with or without a prefix model. or language_model., and those of "
        "transformers; take the checkpoint that the author published, or is config.json another model's?"
    )
    raise RecipeError("C028", message, Where(problems.folder.place, subject=strange[0]), hint, strange[1:4])
