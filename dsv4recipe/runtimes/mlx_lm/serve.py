"""Floor 2, runtimes. mlx-lm's server, for V4.1. Data alone. This module is pure."""

from __future__ import annotations

from dsv4recipe.runtimes.common.server import LOOPBACK, Environment, Server

SERVER = Server(
    "mlx-lm",
    ("mlx-lm",),
    ("deepseek_v41", "deepseek_v41_text"),
    Environment(
        "DSV4RECIPE_MLX_LM_PYTHON",
        "mlx_lm",
        "mlx-lm",
        "mlx_lm.server",
        pins=("mlx==0.32.4", "mlx-lm==0.32.2", "transformers==5.23.0"),
        bare=(),
        needs=(),
        tested={"mlx-lm": "0.32.2", "mlx": "0.32.4"},
    ),
    ("-m", "mlx_lm.server", "--model", "{bundle}", *LOOPBACK),
    "/health",
    thinking="chat_template_kwargs.enable_thinking",
    model="default_model",
)
