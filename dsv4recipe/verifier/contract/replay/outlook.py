"""Floor 4, verifier. Holds the result of a replay: the verdict on a bundle in one loader, and the reasons. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

LOADS = "loads"
STRICT = "strict load error"
REFUSED = "refused"
RANDOM = "random weights"
SHAPES = "fails at the first token"
GARBAGE = "garbage text"
UNSUPPORTED = "not supported"
UNKNOWN = "unknown"

SEES: Mapping[str, str] = {
    LOADS: "it runs as it was built",
    STRICT: "an error at load",
    REFUSED: "an error before the load",
    RANDOM: "no error, but fluent nonsense or repeated BOS tokens",
    SHAPES: "no error at load, but a shape error at the first token",
    GARBAGE: "no error, but garbage text (NaN)",
    UNSUPPORTED: "an error at load",
    UNKNOWN: "this is not known; run it",
}
"""What a user of the runtime sees, by verdict."""


@dataclass(frozen=True, slots=True)
class Wrapped:
    """A module that would be wrapped at another width than its tensors have; both widths are in words."""

    module: str
    asked: str
    stored: str

    def __str__(self) -> str:
        return f"{self.module} wrapped as {self.asked}, stored as {self.stored}"


@dataclass(frozen=True, slots=True)
class Outlook:
    """What would happen in a loader. `ignored` are tensors that no module takes, `random` are modules or parameters
    that would keep their initial values, and `wrapped` are modules at a wrong width. `why` says it in sentences."""

    loader: str
    version: str
    verdict: str
    why: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    random: tuple[str, ...] = ()
    wrapped: tuple[Wrapped, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)

    def data(self, shown: int = 20) -> dict[str, Any]:
        """Returns data for `verify --json`: complete counts, and at most `shown` names of each kind."""
        return {
            "loader": self.loader,
            "version": self.version,
            "verdict": self.verdict,
            "sees": SEES[self.verdict],
            "why": list(self.why),
            "counts": dict(self.counts),
            "ignored": list(self.ignored[:shown]),
            "random": list(self.random[:shown]),
            "wrapped": [{"module": w.module, "asked": w.asked, "stored": w.stored} for w in self.wrapped[:shown]],
        }
