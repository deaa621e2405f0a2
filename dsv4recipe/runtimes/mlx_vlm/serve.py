"""Floor 2, runtimes. Describes mlx-vlm\'s server as data. This module is pure."""

from __future__ import annotations

from dsv4recipe.runtimes.common.server import LOOPBACK, WEB, WEB_MODULES, Environment, Server

SERVER = Server(
    "mlx-vlm",
    ("mlx-vlm", "universal"),
    ("deepseek_v4", "deepseek_v41"),
    Environment(
        "DSV4RECIPE_MLX_VLM_PYTHON",
        "mlx_vlm",
        "mlx-vlm",
        "mlx_vlm.server",
        pins=(
            "mlx==0.32.4",
            "mlx-lm==0.32.2",
            "transformers==5.23.0",
            *WEB,
            "cryptography>=43",
            "mlx-audio==0.6.2",
            "pillow>=10",
            "requests>=2.31",
        ),
        bare=("mlx-vlm==0.7.10",),
        needs=(*WEB_MODULES, "cryptography", "mlx_audio"),
        tested={"mlx-vlm": "0.7.10", "mlx": "0.32.4"},
    ),
    ("-m", "mlx_vlm.server", "--model", "{bundle}", *LOOPBACK),
    "/health",
    ready_when="loaded_model",
    thinking="enable_thinking",
    model="{bundle}",
)
