"""Floor 4, verifier. The words of the replay: loaders, what they are given, what comes out. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from dsv4recipe.runtimes import Target

LOADS = "loads"
STRICT = "strict load error"
REFUSED = "refused"
RANDOM = "random weights"
SHAPES = "fails at the first token"
GARBAGE = "garbage text"
UNSUPPORTED = "not supported"
UNKNOWN = "unknown"

SEES: Mapping[str, str] = {
    LOADS: "runs as it was built",
    STRICT: "an error at load",
    REFUSED: "an error before the load",
    RANDOM: "no error: fluent nonsense, or BOS over and over",
    SHAPES: "no error at load, a shape error at the first token",
    GARBAGE: "no error: garbage text (NaN)",
    UNSUPPORTED: "an error at load",
    UNKNOWN: "not established: run it",
}
"""What a user of the runtime sees, by verdict."""

Entry = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Stored:
    """A tensor of the bundle, or that of every expert under one name with `{E}`: `experts` are then their numbers, and
    `alike` says whether all have this dtype and shape."""

    dtype: str
    shape: tuple[int, ...]
    experts: frozenset[int] | None = None
    alike: bool = True

    @property
    def count(self) -> int:
        return 1 if self.experts is None else len(self.experts)


Given = dict[str, Stored]
"""Tensors by name, on disk or after sanitize."""

Rule = Callable[["Linear", Mapping[str, Any], Given], Entry | None]
"""(module, `quantization` section, tensors after sanitize) → how the module is wrapped, None: left unquantized."""


@dataclass(frozen=True, slots=True)
class Linear:
    """A module that MLX can quantize. `lead` is its expert or row-group axis; `lookups` the keys of its entry."""

    path: str
    lead: tuple[int, ...]
    rows: int
    width: int
    lookups: tuple[str, ...]


@dataclass(frozen=True)
class Loader:
    """One way to load a bundle.

    `version` is the one whose rules are replayed. `target` has the class's names; `serves` are the targets whose
    bundles it is there for. `rename` is its sanitizer, name by name (None: dropped), before single experts in `stacks`
    suffixes are stacked. `rule` is its class predicate. `strict` loaders stop at any difference. `by_index`: reads the
    shards of the index, not those of a glob. `by_shard`: sanitizes one shard at a time. `fuses` gate and up of routed
    experts. `mxtq`: hydrates MXTQ tensors. `section` is what it makes of the `quantization` section before it asks its
    rule; `repairs` rewrites it from shapes; `mends_by_shape` corrects modules after the load. `audits` names what it
    refuses to load.
    """

    name: str
    version: str
    target: Target
    serves: tuple[str, ...]
    rename: Callable[[str], str | None]
    rule: Rule
    stacks: tuple[str, ...] = ("weight", "scales")
    strict: bool = True
    by_index: bool = False
    by_shard: bool = False
    fuses: bool = False
    mxtq: bool = False
    section: Callable[[Mapping[str, Any]], Mapping[str, Any]] = dict
    mends_by_shape: bool = False
    repairs: bool = False
    audits: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Wrapped:
    """A module that would be wrapped at another width than its tensors have; both as people say it."""

    module: str
    asked: str
    stored: str

    def __str__(self) -> str:
        return f"{self.module} wrapped as {self.asked}, stored as {self.stored}"


@dataclass(frozen=True, slots=True)
class Outlook:
    """What would happen in a loader. `ignored` are tensors that no module takes, `random` modules or parameters that
    would keep their initial values, `wrapped` modules at a wrong width; `why` says it in sentences."""

    loader: str
    version: str
    verdict: str
    why: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    random: tuple[str, ...] = ()
    wrapped: tuple[Wrapped, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)

    def data(self, shown: int = 20) -> dict[str, Any]:
        """For `verify --json`: whole counts, and at most `shown` names of each kind."""
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
