"""Floor 4, answers. The runtimes that have a server, in the order in which they are tried. Pure."""

from __future__ import annotations

from dsv4recipe.errors import RecipeError, did_you_mean
from dsv4recipe.runtimes.common.server import Server
from dsv4recipe.runtimes.llama_cpp.serve import SERVER as LLAMA_CPP
from dsv4recipe.runtimes.mlx_lm.serve import SERVER as MLX_LM
from dsv4recipe.runtimes.mlx_vlm.serve import SERVER as MLX_VLM
from dsv4recipe.runtimes.rapid_mlx.serve import SERVER as RAPID_MLX
from dsv4recipe.runtimes.vmlx.serve import SERVER as VMLX

SERVERS = {server.name: server for server in (VMLX, MLX_VLM, RAPID_MLX, MLX_LM, LLAMA_CPP)}


def server_named(name: str) -> Server:
    """The server of a runtime. Raises RecipeError S009 for a name that has none."""
    if name not in SERVERS:
        message = f"no runtime {name!r} is known that has a server"
        raise RecipeError("S009", message, hint=did_you_mean(name, SERVERS))
    return SERVERS[name]
