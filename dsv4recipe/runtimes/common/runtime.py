"""Floor 2, runtimes. One runtime as a whole: what its folder gives to the registry. Pure data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from dsv4recipe.runtimes.common.loader import Loader
from dsv4recipe.runtimes.common.probing import Probe
from dsv4recipe.runtimes.common.server import Server
from dsv4recipe.runtimes.common.target import Target


@dataclass(frozen=True)
class Runtime:
    """`name` is what a recipe writes as `target.runtime`, `summary` says in a few words what that is. `targets` says
    how a bundle is laid out, one target per kind of family; `loaders` what its loaders do with a bundle, for the
    replay; `probes` which loaders `verify --runtime` can run; `server` how
    `ask` starts its server. `tested` maps distributions to the version that the rest
    was read from and run with."""

    name: str
    summary: str
    targets: tuple[Target, ...]
    loaders: tuple[Loader, ...] = ()
    probes: tuple[Probe, ...] = ()
    server: Server | None = None
    tested: Mapping[str, str] = field(default_factory=dict)
