"""Floor 2, runtimes. mlx-vlm, which has classes of DeepSeek-V4 and of DeepSeek-V4.1. Pure data."""

from __future__ import annotations

from pathlib import Path

from dsv4recipe.runtimes.common.probing import Probe
from dsv4recipe.runtimes.common.runtime import Runtime
from dsv4recipe.runtimes.mlx_vlm.loaders import LOADERS
from dsv4recipe.runtimes.mlx_vlm.serve import SERVER
from dsv4recipe.runtimes.mlx_vlm.target import MLX_VLM as TARGET
from dsv4recipe.runtimes.mlx_vlm.target_v41 import MLX_VLM_V41 as TARGET_V41

MLX_VLM = Runtime(
    "mlx-vlm",
    "mlx-vlm",
    targets=(TARGET, TARGET_V41),
    loaders=LOADERS,
    probes=(
        Probe(
            "mlx-vlm",
            ("mlx-vlm", "rapid-mlx", "omlx", "universal"),
            "DSV4RECIPE_MLX_VLM_PYTHON",
            "mlx_vlm",
            Path(__file__).with_name("probe.py"),
            ("mlx-vlm", "mlx"),
            families=("deepseek_v4", "deepseek_v41"),
        ),
    ),
    server=SERVER,
    tested={"mlx-vlm": "0.7.10"},
)
