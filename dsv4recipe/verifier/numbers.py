"""Floor 4, verifier (step 3). What the stored numbers are worth: every tensor decoded and compared with its source.

Streams piece by piece, as the build did: memory is bounded by a piece. Our decoder reads everything; mlx's own decoder
reads a part of every module and must agree. Every piece is encoded again and must give the stored bytes.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.errors import Diagnostic, Where
from dsv4recipe.formats import Affine, Format, Keep, Mxfp4, Mxfp8, Mxtq, Part
from dsv4recipe.formats.decode import decode_parts, decode_source, widen
from dsv4recipe.formats.encode import BadValue, encode
from dsv4recipe.formats.kernels.compare import distance
from dsv4recipe.plan.ledger import label
from dsv4recipe.plan.model import Plan, PlannedModule
from dsv4recipe.plan.pieces import Piece, Span, shard_pieces
from dsv4recipe.plan.shards import shard_header, shard_modules
from dsv4recipe.verifier.result import Step

_DTYPES = {"U32": np.uint32, "U8": np.uint8, "F32": np.float32, "F16": np.uint16, "BF16": np.uint16}
_BLOCK_ROWS = 128
"""Rows decoded at a time: a whole number of FP8 tiles."""
_JUDGED_ROWS = 16
"""Rows of each module that mlx's decoder reads too."""

CEILING = {"affine": {2: 0.6, 3: 0.3, 4: 0.15, 5: 0.075, 6: 0.04, 8: 0.01}, "mxtq": {2: 0.45, 4: 0.15}}
"""Relative RMSE above which a format does not do its work on weights of any usual distribution: about one and a half
times what was measured on heavy tails (fact sheet mlx.md 2.1 and 2.4, vmlx.md section 2)."""
CEILING_CAST = 2.0**-8


@dataclass(slots=True)
class Gap:
    """What separates stored numbers from their source: sums over some weights."""

    weights: int = 0
    error: float = 0.0
    power: float = 0.0
    max_error: float = 0.0
    same_bytes: bool = True
    judged: bool = True

    def add(self, other: Gap) -> None:
        self.weights += other.weights
        self.error += other.error
        self.power += other.power
        self.max_error = max(self.max_error, other.max_error)
        self.same_bytes &= other.same_bytes
        self.judged &= other.judged


@dataclass(slots=True)
class Measured(Gap):
    """One module. `rel_rmse` is sqrt(Σ(ŵ−w)²/Σw²)."""

    module: PlannedModule = field(kw_only=True)

    @property
    def rel_rmse(self) -> float:
        return math.sqrt(self.error / self.power) if self.power else math.sqrt(self.error)

    def data(self) -> dict[str, Any]:
        """A row of `verify --json`."""
        module = self.module
        return {
            "module": module.path or module.disk,
            "role": module.role,
            "projection": module.projection,
            "layer": module.layer,
            "format": label(module.format),
            "weights": self.weights,
            "rel_rmse": self.rel_rmse,
            "max_error": self.max_error,
            "lossless": module.lossless,
        }


@dataclass(slots=True)
class Numbers:
    """The step and its table."""

    step: Step
    rows: list[Measured] = field(default_factory=list)

    def by_role(self) -> list[dict[str, Any]]:
        """Relative RMSE by role × format, weighted as one big tensor."""
        sums: dict[tuple[str, str], list[float]] = {}
        for row in self.rows:
            found = sums.setdefault((row.module.role, label(row.module.format)), [0.0, 0.0, 0.0, 0.0])
            for place, value in enumerate((row.error, row.power, row.weights)):
                found[place] += value
            found[3] = max(found[3], row.max_error)
        return [
            {"role": role, "format": fmt, "weights": int(n), "rel_rmse": math.sqrt(e / p) if p else 0.0, "max_error": m}
            for (role, fmt), (e, p, n, m) in sums.items()
        ]


def check_numbers(bundle: Path, plan: Plan, checkpoint: Checkpoint, workers: int | None = None) -> Numbers:
    """Compares every tensor of one of our bundles with the checkpoint it was built from.

    Findings: V300 another source, V301 a shard that is not laid out as planned, V302 a lossless step that is not,
    V303 other bytes than the encoder gives, V304 an error beyond what the format does, V305 mlx reads other numbers.
    """
    if plan.source.header_digest != checkpoint.folder.header_digest:
        message = "this is not the checkpoint that the bundle was built from (its headers differ)"
        return Numbers(Step("numbers", (Diagnostic("V300", message, Where(str(checkpoint.folder.root))),)))
    rows: list[Measured] = []
    findings: list[Diagnostic] = []
    groups = {group.names: group for group in checkpoint.groups}
    for shard in plan.shards:
        pack = shard_modules(shard, plan.by_disk)
        header = shard_header(pack)
        path = bundle / shard.file
        if _read(path, 0, len(header)).tobytes() != header:
            findings.append(Diagnostic("V301", f"{shard.file} is not laid out as its plan says", Where(str(path))))
            continue
        owner = {member.name: module.disk for module in pack for member in groups[module.sources].members}
        measured = {module.disk: Measured(module=module) for module in pack}
        pieces = shard_pieces(pack, len(header), groups)[0]
        with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
            gaps = pool.map(lambda piece, shard=path: _measure(piece, shard, checkpoint.folder.root), pieces)
            for piece, gap in zip(pieces, gaps, strict=True):
                measured[owner[piece.tensor]].add(gap)
        rows += measured.values()
    for row in rows:
        findings += _judge(row, bundle)
    exact = sum(row.error == 0 for row in rows)
    weights = sum(row.weights for row in rows)
    facts = (f"{len(rows):,} modules, {weights:,} weights decoded; {exact:,} modules equal their source exactly",)
    return Numbers(Step("numbers", tuple(findings), facts), rows)


def _measure(piece: Piece, path: Path, root: Path) -> Gap:
    """One piece: read source and bundle, encode again, decode both in blocks that stay in the cache."""
    weight = _span(root, piece.weight)
    scale = None if piece.scale is None else _span(root, piece.scale)
    parts = piece.format.parts(piece.source)
    stored = [_part(path, part, offset) for part, offset in zip(parts, piece.offsets, strict=True)]
    try:
        again = encode(piece.format, piece.source, weight, scale)
    except BadValue:
        return Gap(same_bytes=False)
    gap = Gap(math.prod(piece.source.shape))
    gap.same_bytes = all(np.array_equal(_bytes(a), _bytes(b)) for a, b in zip(again, stored, strict=True))
    if piece.source.stored == "int":
        gap.max_error = 0.0 if gap.same_bytes else math.inf
        return gap
    rows = piece.source.shape[0] if piece.source.shape else 1
    for first in range(0, rows, _BLOCK_ROWS):
        last = min(first + _BLOCK_ROWS, rows)
        block = replace(piece.source, shape=(last - first, *piece.source.shape[1:]) if piece.source.shape else ())
        exact = decode_source(block, _rows_of(weight, rows, first, last), _scales_of(scale, piece, first, last))
        seen = decode_parts(piece.format, block, [array[first:last] if array.ndim else array for array in stored])
        error, power, most = distance(exact, seen)
        gap.error, gap.power, gap.max_error = gap.error + error, gap.power + power, max(gap.max_error, most)
        if piece.first_row == first == 0 and not isinstance(piece.format, Keep | Mxtq):
            gap.judged = _mlx_agrees(piece.format, parts, stored, seen)
    return gap


def _bytes(array: NDArray[Any]) -> NDArray[np.uint8]:
    return array.reshape(-1).view(np.uint8)


def _rows_of(raw: NDArray[np.uint8], rows: int, first: int, last: int) -> NDArray[np.uint8]:
    width = len(raw) // rows
    return raw[first * width : last * width]


def _scales_of(scale: NDArray[np.uint8] | None, piece: Piece, first: int, last: int) -> NDArray[np.uint8] | None:
    if scale is None:
        return None
    height = piece.source.tile[0] if piece.source.tile else 1
    rows = -(-piece.source.shape[0] // height)
    return _rows_of(scale, rows, first // height, -(-last // height))


def _mlx_agrees(fmt: Format, parts: tuple[Part, ...], stored: list[NDArray[Any]], seen: NDArray[np.float32]) -> bool:
    """Whether mlx.core.dequantize reads the first rows as our decoder does (up to the last bit: it may fuse)."""
    import mlx.core as mx

    few = [array[:_JUDGED_ROWS] for array in stored]
    words = mx.array(few[0])
    with mx.stream(mx.cpu):
        if isinstance(fmt, Affine):
            scales, biases = (mx.array(widen(a, p.dtype)) for a, p in zip(few[1:], parts[1:], strict=True))
            read = mx.dequantize(words, scales, biases, group_size=fmt.group_size, bits=fmt.bits)
        else:
            assert isinstance(fmt, Mxfp4 | Mxfp8)
            bits = 4 if isinstance(fmt, Mxfp4) else 8
            read = mx.dequantize(words, mx.array(few[1]), group_size=32, bits=bits, mode=fmt.kind, dtype=mx.float32)
        theirs = np.array(read)
    ours = seen[: len(theirs)]
    unit = np.abs(ours).max(initial=0.0) * 2.0**-20
    return bool((np.abs(theirs - ours) <= unit).all())


def _judge(row: Measured, bundle: Path) -> Iterator[Diagnostic]:
    module = row.module
    name = module.path or module.disk
    where = Where(str(bundle), subject=name)
    if not row.same_bytes:
        message = f"{name}: the stored bytes are not those that the encoder gives for this source"
        yield Diagnostic("V303", message, where, "build the bundle again")
    if module.lossless and row.max_error:
        message = f"{name}: planned lossless, but off by up to {row.max_error:g}"
        yield Diagnostic("V302", message, where, "build the bundle again")
    elif row.rel_rmse > _ceiling(module):
        message = f"{name}: relative RMSE {row.rel_rmse:.4f} is beyond what {label(module.format)} does"
        yield Diagnostic("V304", message, where, "look at its source: heavy outliers, or a damaged tensor", "warning")
    if not row.judged:
        yield Diagnostic("V305", f"{name}: mlx reads other numbers from the stored bytes than we do", where)


def _ceiling(module: PlannedModule) -> float:
    fmt = module.format
    return CEILING.get(fmt.kind, {}).get(getattr(fmt, "bits", 0), CEILING_CAST)


def _part(path: Path, part: Part, offset: int) -> NDArray[Any]:
    raw = _read(path, offset, part.nbytes)
    return raw.view(_DTYPES[part.dtype]).reshape(part.shape) if part.dtype in _DTYPES else raw


def _span(root: Path, span: Span) -> NDArray[np.uint8]:
    return _read(root / span.file, span.start, span.end - span.start)


def _read(path: Path, start: int, size: int) -> NDArray[np.uint8]:
    return np.fromfile(path, np.uint8, size, offset=start)
