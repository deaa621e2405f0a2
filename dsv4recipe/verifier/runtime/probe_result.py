"""Floor 4, verifier (step 4). Holds the child's JSON document as frozen values. This module is pure.

`probe.session` sets the document's fields. A field that a failed stage never wrote is empty here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from dsv4recipe.runtimes import probes
from dsv4recipe.units import human_size

_REFERENCE = ("transformers", "torch")
"""The packages of the reference, which is not a runtime."""


class Ended(Enum):
    """How the child process ended."""

    REPORTED = "reported"
    NOT_STARTED = "the interpreter did not start"
    TIMED_OUT = "it did not end within the time limit"
    KILLED = "killed"
    UNREADABLE = "there was no readable report"


@dataclass(frozen=True, slots=True)
class Failure:
    """An exception of the runtime: the stage that it ended, its type, its text."""

    stage: str
    kind: str
    message: str


@dataclass(frozen=True, slots=True)
class Module:
    """A quantized module as loaded. `group_size` is 0 for mxtq. `problem` is "" if its tensors fit."""

    path: str
    bits: int
    group_size: int
    mode: str
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Misread:
    """A module that an mlx-lm rule wraps differently from how its tensors are packed; "unquantized" means neither."""

    rule: str
    path: str
    wrapped: str
    packed: str


@dataclass(frozen=True, slots=True)
class Overrides:
    """The override keys of config.json: on a module of this runtime, on a disk stem, in another dialect, or on
    nothing."""

    hit: int = 0
    disk: int = 0
    dialect: int = 0
    missed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Forward:
    """A prefill of `tokens` ids with cache, and greedy decoding of `decoded` more. `long` says that the prompt reaches
    past the sliding window, the compressors and the indexer's top-k. Figures are None if logits are not finite.
    `cached_*` compare a short prefill with one without a cache, and are None if the runtime never runs without."""

    tokens: int
    long: bool
    finite: bool
    std: float | None
    argmax: int | None
    decoded: int = 0
    decoded_finite: bool = True
    cached_max_delta: float | None = None
    cached_same_argmax: bool | None = None


@dataclass(frozen=True, slots=True)
class Rows:
    """Token sequences whose logits were written, and whether all of them are finite."""

    sequences: int
    tokens: int
    finite: bool


@dataclass(frozen=True, slots=True)
class Likeness:
    """Logits compared with a reference's over `positions` of one prompt: the mean cosine, what nine positions in ten
    reach, and the least; the mean KL divergence in nats; the share of positions with the same best token."""

    positions: int
    cosine: float
    nine_in_ten: float
    worst_cosine: float
    kl: float
    top1: float
    max_delta: float
    reference_std: float


@dataclass(frozen=True, slots=True)
class Answer:
    """The model's answer to a question, in `tokens` tokens; `stopped` says that it ended by itself."""

    text: str
    prompt_tokens: int
    tokens: int
    stopped: bool
    finite: bool


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of the child's largest resident set, and whether the requested limit was enforced."""

    limited: bool = False
    peak: int = 0


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """Everything that one child reported. `replaced` are runtime functions that were replaced, so they were not proved.

    `changed` are files that the loader would have rewritten in the bundle (it was given links). `touched` are files of
    the bundle that changed while it ran. `parameters` counts those of the model. `misshapen` names those whose tensor
    has another shape. `dense` compares with the source's model in the runtime's class, `decoded` with the bundle's own
    tensors as an independent reader decodes them, and `reference` with the logits of a file. `implementation` compares
    the runtime's class on the source (`dense`) with that file.
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
    misshapen: tuple[str, ...] = ()
    parameters: int = 0
    misread: tuple[Misread, ...] = ()
    overrides: Overrides = Overrides()
    modules: tuple[Module, ...] = ()
    kinds: tuple[tuple[str, int], ...] = ()
    dtypes: tuple[tuple[str, str], ...] = ()
    forward: Forward | None = None
    rows: Rows | None = None
    dense: Likeness | None = None
    decoded: Likeness | None = None
    reference: Likeness | None = None
    implementation: Likeness | None = None
    answer: Answer | None = None
    expect: str | None = None
    memory: Memory = Memory()
    memory_limit: int | None = None
    replaced: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    touched: tuple[str, ...] = ()

    @property
    def facts(self) -> tuple[str, ...]:
        """Returns what was run and measured, as short sentences."""
        if self.ended is not Ended.REPORTED:
            return ()
        versions = dict(self.versions)
        run = probes()[self.loader].packages if self.loader in probes() else _REFERENCE
        named = [name for name in run if name in versions]
        facts = [", ".join(f"{name} {versions[name]}" for name in named)]
        if self.loaded:
            facts.append(f"{len(self.missing)} missing, {len(self.unexpected)} unexpected")
            facts.append(", ".join(f"{count} modules {kind}" for kind, count in self.kinds))
        if self.loaded and not self.forward and not self.failures:
            facts.append("loaded only, nothing was run")
        if self.forward and self.forward.std is not None:
            behind = " (past the sliding window and the indexer's top-k)" if self.forward.long else ""
            facts.append(
                f"{self.forward.tokens} tokens{behind} and {self.forward.decoded} decoded, logits finite, "
                f"spread {self.forward.std:.3g}"
            )
        if self.dense:
            facts.append(f"compared with the dense source: {_alike(self.dense)}")
        if self.decoded:
            facts.append(f"compared with its own tensors, decoded independently: {_alike(self.decoded)}")
        if self.reference:
            facts.append(f"compared with the reference: {_alike(self.reference)}")
        if self.answer:
            facts.append(f"it said {self.answer.text!r}")
        if self.memory.peak:
            facts.append(f"peak memory {human_size(self.memory.peak)}")
        if self.memory_limit and not self.memory.limited:
            facts.append("this system does not enforce the memory limit")
        facts += [f"not proved, because a replacement ran instead: {name}" for name in self.replaced]
        return tuple(fact for fact in facts if fact)


def _alike(found: Likeness) -> str:
    return f"cosine {found.cosine:.5f}, KL {found.kl:.2g}, same first choice {found.top1:.0%}"


def read_document(
    document: Mapping[str, Any],
    *,
    bundle: Path,
    loader: str,
    ended: Ended,
    detail: str,
    seconds: float,
    touched: tuple[str, ...],
    memory_limit: int | None = None,
    expect: str | None = None,
) -> ProbeResult:
    """Returns the result for a document of `probe.session.examine`; an empty document gives a result without
    findings."""
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
        misshapen=tuple(get("misshapen", ())),
        parameters=get("parameters", 0),
        misread=tuple(
            Misread(m["rule"], m["path"], _setting(m["wrapped"]), _setting(m["packed"])) for m in get("misread", ())
        ),
        overrides=Overrides(**{**overrides, "missed": tuple(overrides.get("missed", ()))}),
        modules=tuple(Module(**m) for m in get("modules", ())),
        kinds=tuple((get("kinds") or {}).items()),
        dtypes=tuple((get("dtypes") or {}).items()),
        forward=Forward(**document["forward"]) if get("forward") else None,
        rows=Rows(**document["rows"]) if get("rows") else None,
        dense=Likeness(**document["dense"]) if get("dense") else None,
        decoded=Likeness(**document["decoded"]) if get("decoded") else None,
        reference=Likeness(**document["reference"]) if get("reference") else None,
        implementation=Likeness(**document["implementation"]) if get("implementation") else None,
        answer=Answer(**document["answer"]) if get("answer") else None,
        expect=expect,
        memory=Memory(**get("memory", {})),
        memory_limit=memory_limit,
        replaced=tuple(get("replaced", ())),
        changed=tuple(get("changed", ())),
        touched=touched,
    )


def _setting(value: Mapping[str, Any] | None) -> str:
    """Returns a setting in words: {"bits": 4, "group_size": 32, "mode": "affine"} → "affine 4-bit group 32"."""
    if value is None:
        return "unquantized"
    if "broken" in value:
        return str(value["broken"])
    return f"{value['mode']} {value['bits']}-bit group {value['group_size']}"
