"""A trained model as a checkpoint in the layout of the release: the product's own `synth`, then the trained numbers.

MTP stages keep the random numbers of `synth`: transformers' class has none.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsv4recipe import open_checkpoint
from dsv4recipe.checkpoint.graph import Group, Tensor
from dsv4recipe.checkpoint.synth import synthesize_config
from dsv4recipe.checkpoint.synth_values import bf16, fp4, fp8
from dsv4recipe.forward.names import parameter

Floats = NDArray[np.float32]


def export(out: Path, config: dict[str, Any], state: dict[str, Any], tokenizer: str, seed: int) -> None:
    """Writes the new folder `out`. `state` is the model's state dict, float32; integers as they are."""
    synthesize_config(out, config, seed=seed)
    checkpoint = open_checkpoint(out)
    for group in checkpoint.groups:
        if group.slot.block == "main":
            for number, member in enumerate(group.members):
                _write(out, member, value(group, number, state))
    (out / "tokenizer.json").write_text(tokenizer, encoding="utf-8")


def value(group: Group, number: int, state: dict[str, Any]) -> NDArray[Any]:
    """The numbers of one source tensor: gate and up of the experts are halves of one parameter there."""
    found: NDArray[Any] = state[parameter(group.slot)].detach().cpu().numpy()
    if not group.experts:
        return found
    projection = group.slot.row.projection
    rows = found[number]
    half = len(rows) // 2
    return rows if projection == "down" else rows[:half] if projection == "gate" else rows[half:]


def _write(out: Path, member: Tensor, values: NDArray[Any]) -> None:
    source = member.source
    if values.shape != source.shape:
        raise ValueError(f"{member.name}: {values.shape} for {source.shape}")
    exact = np.ascontiguousarray(values, np.float32)
    scales = b""
    match source.stored:
        case "fp4":
            data, scale = fp4(exact)
            scales = scale.tobytes()
        case "fp8":
            data, scale = fp8(exact, source.tile)
            scales = scale.tobytes()
        case "bf16":
            data = bf16(exact)
        case "f32":
            data = exact
        case _:
            data = values.astype("<i8" if source.dtype == "I64" else "<i4")
    with (out / member.file).open("r+b") as stream:
        stream.seek(member.weight.start)
        stream.write(np.ascontiguousarray(data).tobytes())
    if member.scale is not None:
        with (out / member.scale_file).open("r+b") as stream:
            stream.seek(member.scale.start)
            stream.write(scales)
