"""Floor 2, runtimes. llama.cpp, which loads one GGUF file. Pure data."""

from __future__ import annotations

from dsv4recipe.runtimes.common.runtime import Runtime
from dsv4recipe.runtimes.llama_cpp.serve import SERVER
from dsv4recipe.runtimes.llama_cpp.target import LLAMA_CPP as TARGET

LLAMA_CPP = Runtime(
    "llama.cpp", "llama.cpp (GGUF)", targets=(TARGET,), tested={"llama-cpp-python": "0.3.36"}, server=SERVER
)
