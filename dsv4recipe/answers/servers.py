"""Floor 4, answers. The runtimes that serve bundles: their servers, environments and tested versions, as data. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dsv4recipe.answers.server import Server

_LOOPBACK = ("--host", "127.0.0.1", "--port", "{port}")
_SERVES = ("fastapi", "uvicorn")
_WEB = ("fastapi==0.165.0", "uvicorn==0.54.0", "python-multipart==0.0.34")


@dataclass(frozen=True, slots=True)
class Unfit:
    """A version of a package from which on (or below which) the server does not work, and what happens then."""

    package: str
    at_least: str
    why: str


@dataclass(frozen=True, slots=True, eq=False)
class Serving:
    """A runtime that serves. `targets` and `families`: whose bundles, of which model types. `variable` may name the
    interpreter that has it, `package` is what that imports, `distribution` what pip calls it, `script` a command that
    lies beside the interpreter.

    `pins` are installed with what they require and `bare` without: these declare far more than their servers import
    (torch, opencv, …), which would make environments of several GB. `needs` are modules without which the server does not
    start, though the rest of the runtime works. `tested` are the versions that our tests run.
    """

    name: str
    targets: tuple[str, ...]
    families: tuple[str, ...]
    variable: str
    package: str
    distribution: str
    script: str
    server: Server
    pins: tuple[str, ...]
    bare: tuple[str, ...]
    needs: tuple[str, ...]
    tested: Mapping[str, str]
    unfit: tuple[Unfit, ...] = ()


_V4 = ("deepseek_v4",)

SERVINGS = {
    serving.name: serving
    for serving in (
        Serving(
            "vmlx",
            ("vmlx", "universal"),
            _V4,
            "DSV4RECIPE_VMLX_PYTHON",
            "vmlx_engine",
            "vmlx",
            "vmlx",
            Server(
                ("-m", "vmlx_engine.cli", "serve", "{bundle}", *_LOOPBACK, "--enable-auto-tool-choice"),
                "/health",
                "model_loaded",
                asking=("--disable-prefix-cache",),
                thinking="enable_thinking",
            ),
            (
                "mlx==0.32.4", "mlx-lm==0.31.3", "transformers==5.23.0", "jang==2.5.50", *_WEB,
                "jsonschema>=4.20", "pillow>=10", "psutil>=5.9", "requests>=2.31",
            ),
            ("vmlx==1.6.81",),
            (*_SERVES, "jsonschema", "psutil"),
            {"vmlx": "1.6.81", "jang": "2.5.50", "mlx-lm": "0.31.3", "mlx": "0.32.4"},
            (Unfit("mlx-lm", "0.32.0", "the server does not start: it imports a name that this mlx-lm no longer has"),),
        ),
        Serving(
            "mlx-vlm",
            ("mlx-vlm", "universal"),
            ("deepseek_v4", "deepseek_v41"),
            "DSV4RECIPE_MLX_VLM_PYTHON",
            "mlx_vlm",
            "mlx-vlm",
            "mlx_vlm.server",
            Server(
                ("-m", "mlx_vlm.server", "--model", "{bundle}", *_LOOPBACK),
                "/health",
                "loaded_model",
                thinking="enable_thinking",
                model="{bundle}",
            ),
            (
                "mlx==0.32.4", "mlx-lm==0.32.2", "transformers==5.23.0", *_WEB, "cryptography>=43",
                "mlx-audio==0.6.2", "pillow>=10", "requests>=2.31",
            ),
            ("mlx-vlm==0.7.10",),
            (*_SERVES, "cryptography", "mlx_audio"),
            {"mlx-vlm": "0.7.10", "mlx": "0.32.4"},
        ),
        Serving(
            "rapid-mlx",
            ("rapid-mlx", "omlx", "mlx-vlm", "universal"),
            _V4,
            "DSV4RECIPE_RAPID_MLX_PYTHON",
            "rapid_mlx",
            "rapid-mlx",
            "rapid-mlx",
            Server(
                ("-m", "rapid_mlx.cli", "serve", "{bundle}", *_LOOPBACK, "--yes"),
                "/v1/models",
                asking=("--disable-prefix-cache", "--disable-disk-caches"),
                thinking="chat_template_kwargs.enable_thinking",
            ),
            (
                "mlx==0.32.4", "mlx-lm==0.31.3", "transformers==5.15.1", *_WEB, "argcomplete>=3.6",
                "jsonschema>=4.20", "mcp<2", "pillow>=10", "psutil>=5.9", "requests>=2.31", "tabulate>=0.9",
                "tiktoken<0.14", "websockets>=12",
            ),
            ("rapid-mlx==0.16.10",),
            (*_SERVES, "argcomplete", "mcp", "psutil", "tabulate", "websockets"),
            {"rapid-mlx": "0.16.10", "mlx-lm": "0.31.3", "mlx": "0.32.4"},
        ),
        Serving(
            "mlx-lm",
            ("mlx-lm",),
            ("deepseek_v41", "deepseek_v41_text"),
            "DSV4RECIPE_MLX_LM_PYTHON",
            "mlx_lm",
            "mlx-lm",
            "mlx_lm.server",
            Server(
                ("-m", "mlx_lm.server", "--model", "{bundle}", *_LOOPBACK),
                "/health",
                thinking="chat_template_kwargs.enable_thinking",
                model="default_model",
            ),
            ("mlx==0.32.4", "mlx-lm==0.32.2", "transformers==5.23.0"),
            (),
            (),
            {"mlx-lm": "0.32.2", "mlx": "0.32.4"},
        ),
        Serving(
            "llama.cpp",
            ("llama.cpp", "ds4"),
            _V4,
            "DSV4RECIPE_LLAMA_CPP_PYTHON",
            "llama_cpp",
            "llama-cpp-python",
            "",
            Server(
                ("-m", "llama_cpp.server", "--model", "{bundle}", *_LOOPBACK, "--n_ctx", "4096"),
                "/v1/models",
            ),
            ("llama-cpp-python[server]==0.3.36", "numpy>=1.26"),
            (),
            (*_SERVES, "sse_starlette"),
            {"llama-cpp-python": "0.3.36"},
        ),
    )
}  # fmt: skip
"""In the order in which they are tried for a bundle that several of them load."""
