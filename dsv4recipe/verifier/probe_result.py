"""Floor 4, verifier (step 4). The child's JSON document as frozen values. Pure.

The document's fields are set in `probe.session`; a field that a failed stage never wrote is empty here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any


class Ended(Enum):
    """How the child process ended."""

    REPORTED = "reported"
    NOT_STARTED = "the interpreter did not start"
    TIMED_OUT = "no end within the time limit"
    KILLED = "killed"
    UNREADABLE = "no readable report"


@dataclass(frozen=True, slots=True)
class Failure:
    """An exception of the runtime: the stage it ended, its type, its text."""

    stage: str
    kind: str
    message: str


@dataclass(frozen=True, slots=True)
class Module:
    """A quantized module as loaded. `group_size` is 0 for mxtq; `problem` is "" when its tensors fit."""

    path: str
    bits: int
    group_size: int
    mode: str
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Misread:
    """A module that an mlx-lm rule wraps otherwise than its tensors are packed; "unquantized" for neither."""

    rule: str
    path: str
    wrapped: str
    packed: str


@dataclass(frozen=True, slots=True)
class Overrides:
    """Override keys of config.json: on a module of this runtime, on a disk stem, in another dialect, on nothing."""

    hit: int = 0
    disk: int = 0
    dialect: int = 0
    missed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Forward:
    """A prefill of `tokens` ids without and with cache. Figures are None where logits are not finite."""

    tokens: int
    finite: bool
    cached_finite: bool
    std: float | None
    argmax: int | None
    cached_max_delta: float | None
    cached_same_argmax: bool | None


@dataclass(frozen=True, slots=True)
class Dense:
    """Last-position logits against those of a dense float32 model."""

    cosine: float
    max_delta: float
    reference_std: float
    same_argmax: bool


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """All that one child said. `replaced`: runtime functions that a stand-in replaced, so that they were not proved.

    `changed`: files that the loader would have rewritten in the bundle (it was given links); `touched`: files of the
    bundle that did change while it ran. `dense` compares with the source's model, `decoded` with the bundle's own
    tensors as an independent reader decodes them.
    """

    bundle: Path
    loader: str
    ended: Ended
    detail: str = ""
    seconds: float = 0.0
    versions: tuple[tuple[str, str], ...] = ()
    rule: str = ""
    loaded: bool = False
    failures: tuple[Failure, ...] = ()
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    misread: tuple[Misread, ...] = ()
    overrides: Overrides = Overrides()
    modules: tuple[Module, ...] = ()
    kinds: tuple[tuple[str, int], ...] = ()
    dtypes: tuple[tuple[str, str], ...] = ()
    forward: Forward | None = None
    dense: Dense | None = None
    decoded: Dense | None = None
    replaced: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    touched: tuple[str, ...] = ()

    @property
    def facts(self) -> tuple[str, ...]:
        """What was run and measured, as short sentences for a person."""
        if self.ended is not Ended.REPORTED:
            return ()
        named = (name for name in ("jang", "vmlx", "mlx-lm", "mlx") if name != "vmlx" or self.loader == "vmlx")
        versions = dict(self.versions)
        facts = [", ".join(f"{name} {versions[name]}" for name in named if name in versions)]
        if self.loaded:
            facts.append(f"{len(self.missing)} missing, {len(self.unexpected)} unexpected")
            facts.append(", ".join(f"{count} modules {kind}" for kind, count in self.kinds))
        if self.forward and self.forward.std is not None:
            facts.append(f"{self.forward.tokens} tokens run, logits finite, spread {self.forward.std:.3g}")
        if self.dense:
            facts.append(f"against the dense source: cosine {self.dense.cosine:.5f}, off by {self.dense.max_delta:.3g}")
        if self.decoded:
            own = self.decoded
            facts.append(f"against its own tensors, decoded apart: cosine {own.cosine:.6f}, off by {own.max_delta:.3g}")
        facts += [f"not proved, a stand-in ran instead: {name}" for name in self.replaced]
        return tuple(fact for fact in facts if fact)


def read_document(
    document: Mapping[str, Any],
    *,
    bundle: Path,
    loader: str,
    ended: Ended,
    detail: str,
    seconds: float,
    touched: tuple[str, ...],
) -> ProbeResult:
    """The result for a document of `probe.session.examine`; an empty one gives a result without findings."""
    get = document.get
    overrides = get("overrides") or {}
    return ProbeResult(
        bundle=bundle,
        loader=loader,
        ended=ended,
        detail=detail,
        seconds=seconds,
        versions=tuple((get("versions") or {}).items()),
        rule=get("rule", ""),
        loaded=get("loaded", False),
        failures=tuple(Failure(**f) for f in get("failures", ())),
        missing=tuple(get("missing", ())),
        unexpected=tuple(get("unexpected", ())),
        misread=tuple(
            Misread(m["rule"], m["path"], _setting(m["wrapped"]), _setting(m["packed"])) for m in get("misread", ())
        ),
        overrides=Overrides(**{**overrides, "missed": tuple(overrides.get("missed", ()))}),
        modules=tuple(Module(**m) for m in get("modules", ())),
        kinds=tuple((get("kinds") or {}).items()),
        dtypes=tuple((get("dtypes") or {}).items()),
        forward=Forward(**document["forward"]) if get("forward") else None,
        dense=Dense(**document["dense"]) if get("dense") else None,
        decoded=Dense(**document["decoded"]) if get("decoded") else None,
        replaced=tuple(get("replaced", ())),
        changed=tuple(get("changed", ())),
        touched=touched,
    )


def _setting(value: Mapping[str, Any] | None) -> str:
    """{"bits": 4, "group_size": 32, "mode": "affine"} → "affine 4-bit group 32"."""
    if value is None:
        return "unquantized"
    if "broken" in value:
        return str(value["broken"])
    return f"{value['mode']} {value['bits']}-bit group {value['group_size']}"
