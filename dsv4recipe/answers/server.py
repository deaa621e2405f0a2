"""Floor 4, answers. What there is to know of a runtime's own server, as data. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Server:
    """How a runtime serves a bundle to the OpenAI protocol on loopback.

    `command` follows the interpreter; `{bundle}` and `{port}` are put in. `asking` is added where nobody but us asks:
    flags that keep caches off the disk. `ready` is the path that answers 200, and `ready_when` the field of its answer
    that must be true, once the model is loaded. `thinking` makes the fields of a request that switch reasoning on or
    off. `model` is the name that a request must give where the server does not list one.
    """

    command: tuple[str, ...]
    ready: str
    ready_when: str = ""
    asking: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    thinking: str = ""
    model: str = ""

    def arguments(self, bundle: str, port: int, serve: bool) -> list[str]:
        """The command line behind the interpreter. `serve`: others will ask too."""
        parts = self.command if serve else (*self.command, *self.asking)
        return [part.replace("{bundle}", bundle).replace("{port}", str(port)) for part in parts]

    def switch(self, thinking: bool) -> dict[str, Any]:
        """The fields of a request that switch reasoning, beyond those that the protocol knows."""
        switched: Any = thinking
        for key in reversed(self.thinking.split(".") if self.thinking else []):
            switched = {key: switched}
        return switched if self.thinking else {}
