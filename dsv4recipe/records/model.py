"""Floor 1, records. Holds an opened activation record: inputs by matrix, and what its manifest says. Maps files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsv4recipe.errors import RecipeError, Where
from dsv4recipe.importance.planned import PlannedImportance
from dsv4recipe.records.names import DOWN, EXPERTS, Inputs, inputs_of
from dsv4recipe.records.rows import Floats, unpacked

FORMAT = "record"
"""The name of the format of a plan's importance if it is an activation record."""


class Layer:
    """One file of a record, by tensor; see docs/how-to/calibration.md. Rows are decoded on demand."""

    def __init__(self, arrays: Mapping[str, NDArray[Any]], path: Path, sha256: str):
        self.arrays = arrays
        self._path, self._sha256 = path, sha256

    def proven(self) -> Layer:
        """Returns itself after its bytes were compared with the manifest, which happens at the first call. Raises
        RecipeError K003."""
        wanted = self._sha256
        if wanted:
            with self._path.open("rb") as stream:
                found = hashlib.file_digest(stream, "sha256").hexdigest()
            if found != wanted:
                notes = (f"its manifest says sha256 {wanted}", f"this file has {found}")
                message, hint = "a file of the record is damaged", "record it again with `dsv4recipe calibrate`"
                raise RecipeError("K003", message, Where(str(self._path)), hint, notes)
            self._sha256 = ""
        return self

    def rows(self, entry: str, which: NDArray[np.int64] | slice = slice(None)) -> Floats:
        """Returns kept inputs, float32 [n, columns], of an entry."""
        scales = self.arrays.get(f"{entry}.scales")
        values = self.arrays[f"{entry}.rows"][which]
        return unpacked(np.asarray(values), None if scales is None else np.asarray(scales[which]))

    def count(self, entry: str) -> int:
        """Returns how many inputs of an entry are kept."""
        return len(self.arrays[f"{entry}.rows"])

    @cached_property
    def reached(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Returns places in the flat list of choices [tokens · topk], sorted by expert, and where each expert's
        begin."""
        flat = np.asarray(self.arrays[f"{EXPERTS}.ids"], np.int64).ravel()
        experts = len(self.arrays[f"{EXPERTS}.energy"])
        order = np.argsort(flat, kind="stable").astype(np.int64)
        return order, np.searchsorted(flat[order], np.arange(experts + 1)).astype(np.int64)

    def tokens(self, expert: int) -> tuple[NDArray[np.int64], Floats]:
        """Returns the tokens int64 [n] that reached an expert, rising, and their routing weights float32 [n]."""
        order, bounds = self.reached
        chosen = order[bounds[expert] : bounds[expert + 1]]
        weights = np.asarray(self.arrays[f"{EXPERTS}.weights"], np.float32).ravel()[chosen]
        return chosen // self.arrays[f"{EXPERTS}.ids"].shape[1], weights


@dataclass(frozen=True, eq=False)
class Record:
    """A record. `sha256` is that of its manifest, which holds those of all its files. It can replace an importance
    file."""

    file: str
    sha256: str
    manifest: Mapping[str, Any]
    layers: Mapping[int | None, Layer]
    format: str = FORMAT
    unseen: int = 0

    @property
    def planned(self) -> PlannedImportance:
        return PlannedImportance(self.sha256, self.format, self.unseen)

    @property
    def source(self) -> tuple[str, str]:
        """Returns config and header digest of the checkpoint that it was made from."""
        made = self.manifest["source"]
        return made["config_digest"], made["header_digest"]

    @property
    def tokens(self) -> int:
        return int(self.manifest["tokens"])

    def layer(self, inputs: Inputs) -> Layer | None:
        """Returns the file that has the inputs, or None if the record does not hold them."""
        found = self.layers.get(inputs.layer)
        return found if found is not None and f"{inputs.entry}.energy" in found.arrays else None

    def columns(self, tensor: str, width: int) -> Floats:  # noqa: ARG002 - as an importance file's
        """Returns the mean square of each input of a matrix, float32 [width]. Valid only if `problem` returned ""."""
        inputs = inputs_of(tensor)
        assert inputs is not None
        found = self.layer(inputs)
        assert found is not None
        return _energy(found.proven(), inputs)

    def problem(self, tensors: Iterable[str], width: int, experts: int) -> str:  # noqa: ARG002 - as an importance file's
        """Returns why the record does not fit the `tensors` of a module with `width` columns, or "" if it does."""
        for tensor in tensors:
            inputs = inputs_of(tensor)
            if inputs is None:
                return f"{tensor}: no record can hold its inputs"
            found = self.layer(inputs)
            if found is None:
                entry = EXPERTS if inputs.entry == DOWN else inputs.entry
                return f"{tensor}: its inputs were not recorded (`--modules {entry}` records them)"
            there = found.arrays[f"{inputs.entry}.energy"].shape[-1]
            if there != width:
                return f"{tensor}: its recorded inputs have {there:,} columns, but {width:,} are needed"
        return ""

    def coverage(self) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """Yields (layer, tokens that reached each expert) for every layer with routed experts."""
        for number, layer in self.layers.items():
            if number is not None and f"{EXPERTS}.ids" in layer.arrays:
                yield number, np.diff(layer.reached[1])


def _energy(layer: Layer, inputs: Inputs) -> Floats:
    """Returns the sum over all experts for an expert without a token. For shared inputs each token counts once."""
    values = np.asarray(layer.arrays[f"{inputs.entry}.energy"], np.float32)
    if inputs.expert is None:
        return values if values.ndim == 1 else _total(values)
    own = values[inputs.expert]
    return own if own.any() else _total(values)


def _total(values: Floats) -> Floats:
    """Returns the sum over experts in their order, so that it is the same on every machine."""
    total = np.zeros(values.shape[1], np.float64)
    for row in values:
        total += row
    return total.astype(np.float32)
