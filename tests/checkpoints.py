"""Checkpoints for tests that no preset of `synth` gives: any config.json, headers only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dsv4recipe import open_checkpoint
from dsv4recipe.checkpoint.deepseek_v4 import DEEPSEEK_V4
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.checkpoint.header import header_bytes
from dsv4recipe.checkpoint.synth import shard_pieces
from dsv4recipe.checkpoint.synth_files import side_files


def headers_of(config: dict[str, Any], out: Path) -> Checkpoint:
    """Writes headers, holes and side files of a config to the new folder `out` and opens it."""
    out.mkdir()
    shards = shard_pieces(DEEPSEEK_V4.dims_of(config, "config.json"))
    weight_map = {}
    for number, pieces in enumerate(shards, 1):
        name = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        head = header_bytes((piece.name, piece.dtype, piece.shape) for piece in pieces)
        with (out / name).open("wb") as stream:
            stream.write(head)
            stream.truncate(len(head) + sum(piece.nbytes for piece in pieces))
        weight_map |= dict.fromkeys((piece.name for piece in pieces), name)
    total = sum(piece.nbytes for pieces in shards for piece in pieces)
    for name, text in side_files(config, {"metadata": {"total_size": total}, "weight_map": weight_map}, True).items():
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).write_text(text, encoding="utf-8")
    return open_checkpoint(out)
