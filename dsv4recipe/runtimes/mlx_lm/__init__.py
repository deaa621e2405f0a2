"""Floor 2, runtimes. The released mlx-lm, which has a class of DeepSeek-V4.1 and none of DeepSeek-V4. This module is
pure."""

from __future__ import annotations

from pathlib import Path

from dsv4recipe.runtimes.common.probing import Probe
from dsv4recipe.runtimes.common.runtime import Runtime
from dsv4recipe.runtimes.mlx_lm.loaders import LOADERS
from dsv4recipe.runtimes.mlx_lm.serve import SERVER
from dsv4recipe.runtimes.mlx_lm.target import MLX_LM as TARGET

MLX_LM = Runtime(
    "mlx-lm",
    "released mlx-lm (V4.1 only)",
    targets=(TARGET,),
    loaders=LOADERS,
    probes=(
        Probe(
            "mlx-lm",
            ("mlx-lm",),
            "DSV4RECIPE_MLX_LM_PYTHON",
            "mlx_lm",
            Path(__file__).with_name("probe.py"),
            ("mlx-lm", "mlx"),
            families=("deepseek_v41", "deepseek_v41_text"),
        ),
    ),
    server=SERVER,
    tested={"mlx-lm": "0.32.2"},
)
