"""Floor 2, runtimes. The server of llama-cpp-python, for GGUF files. Data alone. This module is pure."""

from __future__ import annotations

from dsv4recipe.runtimes.common.server import LOOPBACK, WEB_MODULES, Environment, Server

SERVER = Server(
    "llama.cpp",
    ("llama.cpp", "ds4"),
    ("deepseek_v4",),
    Environment(
        "DSV4RECIPE_LLAMA_CPP_PYTHON",
        "llama_cpp",
        "llama-cpp-python",
        "",
        pins=("llama-cpp-python[server]==0.3.36", "numpy>=1.26"),
        bare=(),
        needs=(*WEB_MODULES, "sse_starlette"),
        tested={"llama-cpp-python": "0.3.36"},
    ),
    ("-m", "llama_cpp.server", "--model", "{bundle}", *LOOPBACK, "--n_ctx", "4096"),
    "/v1/models",
)
