"""Floor 4, calibration. Records a text read by a checkpoint: checks, forward pass, manifest. Writes a folder.

Everything happens in NAME.partial, which gets its final name when the manifest is in it. A killed run continues from
the states that its pass last saved, and records from that layer on.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dsv4recipe.calibration.manifest import manifest, write_manifest
from dsv4recipe.calibration.recorder import JOURNAL, Recorder, journalled
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.errors import RecipeError, Where
from dsv4recipe.evaluation.text import Text, fingerprint
from dsv4recipe.files import disk
from dsv4recipe.forward.run import Settings, forward
from dsv4recipe.forward.states import Kept
from dsv4recipe.forward.weights import SourceWeights
from dsv4recipe.guidance.pieces import POOLED, ROWS
from dsv4recipe.records.names import ENTRIES, EXPERTS
from dsv4recipe.units import human_size

Told = Callable[[int, int], None]
_FEW = 1024
"""A record of fewer tokens is refused, because most experts would get none of them."""


@dataclass(frozen=True)
class Needs:
    """The bytes that recording needs: for the record, and for the states of all tokens during the run."""

    tokens: int
    record: int
    states: int


def needs(checkpoint: Checkpoint, tokens: int, entries: Sequence[str], kind: str) -> Needs:
    """Returns what a record of this many tokens needs; the file headers, a few kB, are not counted."""
    dims, width = checkpoint.dims, {"int8": 1, "bf16": 2}[kind]
    row = 4 if kind == "int8" else 0
    widths = {"attn": dims.hidden, "attn.q": dims.q_lora, "attn.out": dims.o_groups * dims.o_lora,
              "shared.down": dims.shared}  # fmt: skip
    layer = 0
    if EXPERTS in entries:
        layer += tokens * (dims.hidden * width + row + 8 * dims.topk)
        layer += min(POOLED, tokens * dims.topk) * (dims.inter * width + row)
        layer += 4 * dims.experts * (dims.hidden + dims.inter)
    layer += sum(min(ROWS, tokens) * (widths[e] * width + row) + 4 * widths[e] for e in entries if e in widths)
    head = min(ROWS, tokens) * (dims.hidden * width + row) if "head" in entries else 0
    return Needs(tokens, dims.layers * layer + head, 4 * tokens * dims.hidden * (dims.hc + 2))


def calibrate_to(
    checkpoint: Checkpoint,
    text: Text,
    out: Path,
    entries: Sequence[str] = (EXPERTS,),
    kind: str = "int8",
    settings: Settings | None = None,
    told: Told = lambda done, total: None,
    every: float = 30.0,
) -> Path:
    """Records `text`, read by the checkpoint itself, in the folder `out`.

    Raises RecipeError K020 (too little text), K021 (`out` already exists), K022 (too little disk space), K023 (no such
    entry), and what the forward pass raises (M0xx).
    """
    unknown = sorted(set(entries) - set(ENTRIES))
    if unknown:
        raise RecipeError(
            "K023", f"there are no inputs called {unknown[0]!r}", hint=f"known inputs: {', '.join(ENTRIES)}"
        )
    if text.tokens < _FEW:
        message = f"the text has {text.tokens:,} tokens, but a record needs at least {_FEW:,}"
        raise RecipeError("K020", message, hint="use more text; with 30,000 tokens or more, every expert gets some")
    if out.exists():
        hint = "choose another name, or remove it if no plan needs it"
        raise RecipeError("K021", "the output already exists", Where(str(out)), hint)
    wanted = needs(checkpoint, text.tokens, entries, kind)
    partial = out.with_name(out.name + ".partial")
    disk.make_folder(partial)
    free = disk.free_bytes(partial)
    if free < wanted.record:
        message = f"the record takes {human_size(wanted.record)}, but the disk has only {human_size(free)} free"
        raise RecipeError("K022", message, Where(str(partial)), "make room, or record fewer tokens")
    said = manifest(checkpoint, text.data() | {"fingerprint": fingerprint(text.ids)}, text.tokens, entries, kind)
    identity = hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
    kept = Kept(partial / "states", identity, every)
    there = journalled(partial)
    if set(range(kept.layer)) - set(there):
        kept.clear()
    if not kept.layer:
        (partial / JOURNAL).unlink(missing_ok=True)
    recorder = Recorder(partial, entries, kind, text.tokens, checkpoint.dims.experts)
    forward(checkpoint, SourceWeights(checkpoint), text.ids, recorder, settings, kept, told)
    write_manifest(partial, said)
    (partial / JOURNAL).unlink()
    shutil.rmtree(partial / "states", ignore_errors=True)
    disk.rename(partial, out)
    disk.sync_folder(out.parent)
    return out
