"""Floor 4, builder. Counts zeros where weights should be while a shard is made, and reports them by name. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from dsv4recipe.errors import Diagnostic, RecipeError, Where
from dsv4recipe.formats.zeros import SECTOR, zero_sectors
from dsv4recipe.plan.pieces import Piece

MOST = 0.5
"""A matrix with a larger share of zeros than this is not a valid weight."""
_SHOWN = 8


class Zeros:
    """What was found in the pieces of one shard. `found` maps the offset of a piece to its tensor and to the number of
    its sectors that are zero, if there are any. Threads share it."""

    def __init__(self, pieces: Sequence[Piece], allowed: bool = False):
        self.allowed = allowed
        self.found: dict[int, tuple[str, int]] = {}
        self._pieces = pieces

    def look(self, piece: Piece, weight: NDArray[np.uint8]) -> None:
        """Counts zeros in the raw bytes of a piece. Raises RecipeError B023 if by now more than half of the checked
        part of its tensor is zero."""
        if not _counted(piece):
            return
        zero, _ = zero_sectors(weight)
        if not zero:
            return
        self.found[piece.offsets[0]] = (piece.tensor, zero)
        so_far, whole = self.by_tensor()[piece.tensor]
        if so_far > MOST * whole and not self.allowed:
            where = Where(piece.weight.file, subject=piece.tensor)
            message = f"{piece.tensor}: more than half of it is zeros ({_share(so_far, whole)})"
            raise RecipeError("B023", message, where, _HINT)

    def by_tensor(self) -> dict[str, list[int]]:
        """Returns the sectors of only zeros, and all sectors, of each tensor that has some of the former."""
        count: Counter[str] = Counter()
        for tensor, zero in tuple(self.found.values()):
            count[tensor] += zero
        return {tensor: [zero, self._whole[tensor]] for tensor, zero in sorted(count.items())}

    @cached_property
    def _whole(self) -> Counter[str]:
        count: Counter[str] = Counter()
        for piece in filter(_counted, self._pieces):
            count[piece.tensor] += (piece.weight.end - piece.weight.start) // SECTOR
        return count


def _counted(piece: Piece) -> bool:
    return len(piece.source.shape) == 2 and piece.source.stored != "int"


def told(tensors: Mapping[str, Mapping[str, object]]) -> Diagnostic:
    """Returns the warning about what a build found: each tensor's `file`, and how many (`zero`) of how many (`of`)
    sectors."""
    names = sorted(tensors)
    noun = "a matrix" if len(names) == 1 else f"{len(names):,} matrices"
    message = f"parts of {noun} of the source are only zeros, beginning with {names[0]}"
    notes = [f"{name} in {row['file']}: {_share(row['zero'], row['of'])}" for name, row in sorted(tensors.items())]
    more = [f"and {len(names) - _SHOWN:,} more"] if len(names) > _SHOWN else []
    where = Where(str(tensors[names[0]]["file"]), subject=names[0])
    return Diagnostic("B023", message, where, _WARNED, "warning", (*notes[:_SHOWN], *more))


def _share(zero: object, whole: object) -> str:
    return f"{zero:,} of {whole:,} stretches of {SECTOR} bytes"


_WARNED = "an interrupted download leaves zeros; compare the file's sha256 with the hub's, and download it again"
_HINT = f"{_WARNED}. If the zeros are intended, as in an expert that was silenced, pass `--allow-zeros`"
