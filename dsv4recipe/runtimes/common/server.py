"""Floor 2, runtimes. What there is to know of a runtime's own server and of its environment, as data. This module is
pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

LOOPBACK = ("--host", "127.0.0.1", "--port", "{port}")
WEB = ("fastapi==0.165.0", "uvicorn==0.54.0", "python-multipart==0.0.34")
"""What the servers of the MLX runtimes stand on, in the versions that were tested."""
WEB_MODULES = ("fastapi", "uvicorn")


@dataclass(frozen=True, slots=True)
class Unfit:
    """From which version of a package on a server does not work, and what happens then."""

    package: str
    at_least: str
    why: str


@dataclass(frozen=True, slots=True)
class Overwriting:
    """By which `mark` in the programs of a `package` a version is known that writes quantization entries of its own
    over those of config.json; `what` it does, and what to do about it (`mend`)."""

    package: str
    mark: str
    what: str
    mend: str


@dataclass(frozen=True, slots=True)
class Environment:
    """What an environment that has a runtime holds. `variable` may name its interpreter; `package` is what that
    imports, `distribution` what pip calls it, `script` a command beside the interpreter.

    `pins` are installed with what they require and `bare` without: these declare far more than their servers import
    (torch, opencv, …), which would make environments of several GB. `needs` are modules without which the server does
    not start, though the rest of the runtime works. `tested` are the versions that dsv4recipe's own tests run.
    """

    variable: str
    package: str
    distribution: str
    script: str
    pins: tuple[str, ...]
    bare: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    tested: Mapping[str, str] = field(default_factory=dict)
    unfit: tuple[Unfit, ...] = ()
    overwriting: Overwriting | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Server:
    """How the runtime `name` serves a bundle to the OpenAI protocol on loopback. `targets` and `families`: whose
    bundles, of which model types.

    `command` follows the interpreter; `{bundle}` and `{port}` are put in. `asking` is added where nobody but us asks:
    flags that keep caches off the disk. `ready` is the path that answers 200, and `ready_when` the field of its answer
    that must be true, once the model is loaded. `thinking` is the field of a request that switches reasoning; a dot
    leads into a nested one. `otherwise`: what it takes a chat for where the bundle has no template, "" where it knows
    better. `model` is the name that a request must give, "" for the first that the server lists.
    """

    name: str
    targets: tuple[str, ...]
    families: tuple[str, ...]
    environment: Environment
    command: tuple[str, ...]
    ready: str
    ready_when: str = ""
    asking: tuple[str, ...] = ()
    thinking: str = ""
    model: str = ""
    otherwise: str = ""

    def arguments(self, bundle: str, port: int, serve: bool) -> list[str]:
        """Returns the command line behind the interpreter. `serve`: others will ask too."""
        parts = self.command if serve else (*self.command, *self.asking)
        return [part.replace("{bundle}", bundle).replace("{port}", str(port)) for part in parts]

    def switch(self, thinking: bool) -> dict[str, Any]:
        """Returns the fields of a request that switch reasoning, beyond those that the protocol knows."""
        switched: Any = thinking
        for key in reversed(self.thinking.split(".") if self.thinking else []):
            switched = {key: switched}
        return switched if self.thinking else {}
