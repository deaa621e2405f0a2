"""Floor 4, calibration. Records a forward pass in the files of an activation record. Writes files.

Every token's inputs of the expert block are kept, with its experts and their weights. For all other entries, and for
the inputs of down projections (which follow from the former), evenly spaced tokens are kept. The energy of each column,
summed over all tokens, is kept for every entry, as importance files hold it.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsv4recipe.checkpoint.graph import Group
from dsv4recipe.files.atomic import write_file
from dsv4recipe.formats.kernels.energy import add_squares
from dsv4recipe.forward.taps import Floats, Tap
from dsv4recipe.guidance.pieces import POOLED, ROWS, even
from dsv4recipe.headers.safetensors import header_bytes
from dsv4recipe.records.names import DOWN, EXPERTS, inputs_of
from dsv4recipe.records.rows import packed

JOURNAL = "journal.jsonl"
_TYPES = {"int8": "I8", "uint16": "BF16", "float32": "F32", "int32": "I32"}
_FIRST = {
    "attn": "attn.wq_a", "attn.q": "attn.wq_b", "attn.out": "attn.wo_b", "shared.down": "shared_experts.w2",
    "head": "head",
}  # fmt: skip
"""For each entry that several matrices share, the matrix whose inputs are recorded."""


class Recorder(Tap):
    """Keeps the inputs of `entries`, as rows of `kind` ("int8" or "bf16"), of a pass over `tokens`, in `folder`."""

    def __init__(self, folder: Path, entries: Collection[str], kind: str, tokens: int, experts: int) -> None:
        self.folder = folder
        self.entries = entries
        self.kind = kind
        self.experts_in_layer = experts
        self._total = tokens
        self._kept = even(tokens, ROWS)
        self._arrays: dict[str, NDArray[Any]] = {}
        self._rows: dict[str, list[Floats]] = {}
        self._sums: dict[str, NDArray[np.float64]] = {}

    def wants(self, group: Group) -> bool:
        found = inputs_of(group.members[0].name)
        return (
            found is not None
            and found.entry in self.entries
            and found.entry in _FIRST
            and group.stem.endswith(_FIRST[found.entry])
            and ".indexer." not in group.stem
        )

    def linear(self, group: Group, first: int, inputs: Floats) -> None:
        found = inputs_of(group.members[0].name)
        assert found is not None
        entry, last = found.entry, first + len(inputs)
        add_squares(inputs, self._sum(entry, (inputs.shape[1],)))
        chosen = self._kept[np.searchsorted(self._kept, first) : np.searchsorted(self._kept, last)]
        self._rows.setdefault(entry, []).append(inputs[chosen - first])
        if found.layer is None and last == self._total:
            self._write(None)

    def experts(self, layer: int, inputs: Floats, ids: Floats, weights: Floats) -> None:  # noqa: ARG002 - the tap's
        if EXPERTS not in self.entries:
            return
        self._keep(EXPERTS, inputs)
        self._arrays[f"{EXPERTS}.ids"] = ids.astype(np.int32)
        self._arrays[f"{EXPERTS}.weights"] = weights.astype(np.float32)

    def wants_expert(self, layer: int) -> bool:  # noqa: ARG002 - the tap's
        return EXPERTS in self.entries

    def expert(self, layer: int, expert: int, tokens: Floats, inputs: Floats, weights: Floats, inner: Floats) -> None:  # noqa: ARG002
        down = np.ascontiguousarray(inner * weights[:, None])
        add_squares(np.ascontiguousarray(inputs), self._sum(EXPERTS, (self.experts_in_layer, inputs.shape[1]))[expert])
        add_squares(down, self._sum(DOWN, (self.experts_in_layer, down.shape[1]))[expert])
        share = max(1, POOLED // self.experts_in_layer)
        self._rows.setdefault(DOWN, []).append(down[even(len(down), share)])

    def layer(self, layer: int) -> None:
        if self._sums:
            self._write(layer)

    def _sum(self, entry: str, shape: tuple[int, ...]) -> NDArray[np.float64]:
        return self._sums.setdefault(entry, np.zeros(shape, np.float64))

    def _keep(self, entry: str, rows: Floats) -> None:
        values, scales = packed(rows, self.kind)
        self._arrays[f"{entry}.rows"] = values
        if scales is not None:
            self._arrays[f"{entry}.scales"] = scales

    def _write(self, layer: int | None) -> None:
        for entry, rows in self._rows.items():
            self._keep(entry, np.concatenate(rows))
        for entry, sums in self._sums.items():
            self._arrays[f"{entry}.energy"] = sums.astype(np.float32)
        arrays = {name: np.ascontiguousarray(self._arrays[name]) for name in sorted(self._arrays, key=self._order)}
        header = header_bytes((name, _TYPES[array.dtype.name], array.shape) for name, array in arrays.items())
        file = "head.safetensors" if layer is None else f"layer-{layer:05}.safetensors"
        data = b"".join((header, *(array.tobytes() for array in arrays.values())))
        size, sha256 = write_file(self.folder / file, data)
        line = json.dumps({"layer": layer, "file": file, "size": size, "sha256": sha256})
        with (self.folder / JOURNAL).open("a", encoding="utf-8") as journal:
            journal.write(line + "\n")
        self._arrays, self._rows, self._sums = {}, {}, {}

    def _order(self, name: str) -> tuple[int, str]:
        """Returns a sort key that puts wide elements first, so that all are aligned."""
        return -self._arrays[name].itemsize, name


def journalled(folder: Path) -> dict[int | None, dict[str, Any]]:
    """Returns the last journal entry for each existing file of a folder, or {} without a journal."""
    found: dict[int | None, dict[str, Any]] = {}
    try:
        lines = (folder / JOURNAL).read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    for line in lines:
        try:
            entry = json.loads(line)
            if (folder / entry["file"]).stat().st_size == entry["size"]:
                found[entry["layer"]] = entry
        except (ValueError, KeyError, OSError):
            continue
    return found
