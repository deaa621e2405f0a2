"""Floor 2, runtimes. Describes Rapid-MLX\'s server as data. This module is pure."""

from __future__ import annotations

from dsv4recipe.runtimes.common.server import LOOPBACK, WEB, WEB_MODULES, Environment, Server

SERVER = Server(
    "rapid-mlx",
    ("rapid-mlx", "omlx", "mlx-vlm", "universal"),
    ("deepseek_v4",),
    Environment(
        "DSV4RECIPE_RAPID_MLX_PYTHON",
        "rapid_mlx",
        "rapid-mlx",
        "rapid-mlx",
        pins=(
            "mlx==0.32.4",
            "mlx-lm==0.31.3",
            "transformers==5.15.1",
            *WEB,
            "argcomplete>=3.6",
            "jsonschema>=4.20",
            "mcp<2",
            "pillow>=10",
            "psutil>=5.9",
            "requests>=2.31",
            "tabulate>=0.9",
            "tiktoken<0.14",
            "websockets>=12",
        ),
        bare=("rapid-mlx==0.16.10",),
        needs=(*WEB_MODULES, "argcomplete", "mcp", "psutil", "tabulate", "websockets"),
        tested={"rapid-mlx": "0.16.10", "mlx-lm": "0.31.3", "mlx": "0.32.4"},
    ),
    ("-m", "rapid_mlx.cli", "serve", "{bundle}", *LOOPBACK, "--yes"),
    "/v1/models",
    asking=("--disable-prefix-cache", "--disable-disk-caches"),
    thinking="chat_template_kwargs.enable_thinking",
    otherwise="ChatML",
)
