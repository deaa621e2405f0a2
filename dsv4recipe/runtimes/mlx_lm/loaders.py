"""Floor 2, runtimes. Describes what a released mlx-lm (0.31, 0.32) does with a bundle of DeepSeek-V4. This module is
pure."""

from __future__ import annotations

from dsv4recipe.runtimes.common.loader import Loader
from dsv4recipe.runtimes.common.rules import else_inferred
from dsv4recipe.runtimes.mlx_lm.target import MLX_LM as TARGET

LOADERS = (Loader("mlx-lm 0.31, 0.32", "", TARGET, (), else_inferred, place=2, unsupported="a class for V4.1 alone"),)
