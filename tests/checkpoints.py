"""Checkpoints for tests that no preset of `synth` gives: any config.json, headers only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dsv4recipe import open_checkpoint
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.checkpoint.synth import synthesize_config


def headers_of(config: dict[str, Any], out: Path) -> Checkpoint:
    """Writes headers, holes and side files of a config to the new folder `out` and opens it."""
    return open_checkpoint(synthesize_config(out, config, headers_only=True).root)
