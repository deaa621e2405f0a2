"""Floor 2, runtimes. Describes vMLX\'s server as data. This module is pure."""

from __future__ import annotations

from dsv4recipe.runtimes.common.server import LOOPBACK, WEB, WEB_MODULES, Environment, Overwriting, Server, Unfit

SERVER = Server(
    "vmlx",
    ("vmlx", "universal"),
    ("deepseek_v4",),
    Environment(
        "DSV4RECIPE_VMLX_PYTHON",
        "vmlx_engine",
        "vmlx",
        "vmlx",
        pins=(
            "mlx==0.32.4",
            "mlx-lm==0.31.3",
            "transformers==5.23.0",
            "jang==2.5.50",
            *WEB,
            "jsonschema>=4.20",
            "pillow>=10",
            "psutil>=5.9",
            "requests>=2.31",
        ),
        bare=("vmlx==1.6.81",),
        needs=(*WEB_MODULES, "jsonschema", "psutil"),
        tested={"vmlx": "1.6.81", "jang": "2.5.50", "mlx-lm": "0.31.3", "mlx": "0.32.4"},
        unfit=(Unfit("mlx-lm", "0.32.0", "its server does not start, for it imports a name that mlx-lm dropped"),),
        overwriting=Overwriting(
            "jang_tools",
            "_patch_quant_config_inplace",
            "its loader replaces the entries of config.json by what it infers from the names on disk, and the experts "
            "of a bundle then take another width",
            "vmlx 1.6.81 with jang 2.5.50 has no such step: `dsv4recipe runtimes install vmlx` makes an environment "
            "with them; in the app, update it",
        ),
    ),
    ("-m", "vmlx_engine.cli", "serve", "{bundle}", *LOOPBACK, "--enable-auto-tool-choice"),
    "/health",
    ready_when="model_loaded",
    asking=("--disable-prefix-cache",),
    thinking="enable_thinking",
)
