"""Floor 2, runtimes. The server of llama-cpp-python, for GGUF files. This module is pure data."""

from __future__ import annotations

from dsv4recipe.runtimes.common.server import LOOPBACK, WEB_MODULES, Environment, Server

AS_STORED = """
import runpy, sys
import llama_cpp.llama_cpp as library
usual = library.llama_model_default_params
def as_stored():
    found = usual()
    found.use_extra_bufts = False
    return found
library.llama_model_default_params = as_stored
sys.argv[0] = 'llama_cpp.server'
runpy.run_module('llama_cpp.server', run_name='__main__')
""".strip()
"""Starts the server with weights left as they are stored. On processors with AMX it would repack them, and then stops
at the grouped output projection of DeepSeek-V4 (`GGML_ASSERT(*cur_backend_id != -1)`); it has no flag for that."""

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
    ("-c", AS_STORED, "--model", "{bundle}", *LOOPBACK, "--n_ctx", "4096", "--n_gpu_layers", "-1"),
    "/v1/models",
    otherwise="Llama 2's chat format",
)
