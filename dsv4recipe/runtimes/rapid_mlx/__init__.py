"""Floor 2, runtimes. Rapid-MLX, which has the class of mlx-lm#1192 and DSpark stages. Pure data."""

from __future__ import annotations

from pathlib import Path

from dsv4recipe.runtimes.common.probing import Probe
from dsv4recipe.runtimes.common.runtime import Runtime
from dsv4recipe.runtimes.rapid_mlx.loaders import LOADERS
from dsv4recipe.runtimes.rapid_mlx.serve import SERVER
from dsv4recipe.runtimes.rapid_mlx.target import RAPID_MLX as TARGET

RAPID_MLX = Runtime(
    "rapid-mlx",
    "Rapid-MLX",
    targets=(TARGET,),
    loaders=LOADERS,
    probes=(
        Probe(
            "rapid-mlx",
            ("mlx-vlm", "rapid-mlx", "omlx", "universal"),
            "DSV4RECIPE_RAPID_MLX_PYTHON",
            "rapid_mlx",
            Path(__file__).with_name("probe.py"),
            ("rapid-mlx", "mlx-lm", "mlx"),
        ),
    ),
    server=SERVER,
    tested={"rapid-mlx": "0.16.10", "mlx-lm": "0.31.3"},
)
