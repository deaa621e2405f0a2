"""Floor 2, runtimes. The mlx-lm branch of the Q3 bundle. It is in no package registry. Pure data."""

from __future__ import annotations

from dsv4recipe.runtimes.common.runtime import Runtime
from dsv4recipe.runtimes.mlx_lm_fork.loaders import LOADERS
from dsv4recipe.runtimes.mlx_lm_fork.target import MLX_LM_FORK as TARGET

MLX_LM_FORK = Runtime("mlx-lm-fork", "the mlx-lm branch with DeepSeek-V4", targets=(TARGET,), loaders=LOADERS)
