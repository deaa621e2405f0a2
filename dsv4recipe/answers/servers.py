"""Floor 4, answers. Lists the servers of the known runtimes, in the order in which they are tried. This module is
pure."""

from __future__ import annotations

from functools import cache

from dsv4recipe.errors import RecipeError, did_you_mean
from dsv4recipe.runtimes import runtimes
from dsv4recipe.runtimes.common.server import Server


@cache
def servers() -> dict[str, Server]:
    """Returns every runtime that has a server, by name, including those that installed packages add."""
    return {runtime.server.name: runtime.server for runtime in runtimes() if runtime.server is not None}


def server_named(name: str) -> Server:
    """Returns the server of a runtime. Raises RecipeError S009 for a name that has none."""
    if name not in servers():
        message = f"no runtime with a server is called {name!r}"
        raise RecipeError("S009", message, hint=did_you_mean(name, servers()))
    return servers()[name]
