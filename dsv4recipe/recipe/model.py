"""Floor 1, recipe. Holds the recipe as frozen data. This module is pure: no text, no schema, no files."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from dsv4recipe.errors import NOWHERE, Where
from dsv4recipe.formats import Format

ROLES = (
    "routed-expert", "shared-expert", "attention", "compressor", "indexer", "embedding", "lm-head", "mtp-projection",
    "router", "router-bias", "hash-table", "hyper-connection", "attention-sink", "position-bias", "norm",
    "markov-head", "confidence-head", "engram-table", "engram", "engram-gate", "vision", "aligner", "image-token",
    "bias",
)  # fmt: skip
"""Every role that a tensor of the family can have (docs/reference/checkpoint.md)."""

CONTROL_ROLES = frozenset(
    ("norm", "router", "router-bias", "hash-table", "hyper-connection", "attention-sink", "position-bias",
     "confidence-head")
)  # fmt: skip
"""Roles of small tensors that steer the model: recipes keep them as they are stored."""

PROJECTIONS = (
    "gate", "up", "down", "wq_a", "wq_b", "wkv", "wo_a", "wo_b", "wgate", "weights_proj", "e_proj", "h_proj",
    "wk", "main_proj", "markov_w1", "markov_w2",
)  # fmt: skip

LAYER_SETS = (
    "hash", "dense-context", "compress-ratio-4", "compress-ratio-128", "mlx-lm-more-bits", "compress-ratio-1",
    "compress-ratio-2", "kv-source", "index-source", "engram",
)  # fmt: skip
"""Names of layer sets; the family resolves them from config.json (docs/reference/checkpoint.md)."""

KEEP = ("source", "float32", "bfloat16", "float16")


@dataclass(frozen=True, slots=True)
class Match:
    """Conditions that must all hold; an empty tuple is no condition. The values of one condition are alternatives.

    `layers` holds layer numbers (MTP stages are numbered after the main layers). `layer_sets` names sets that the
    checkpoint's config resolves; a layer in either of the two matches. `tensor` is a glob over source names, `module`
    one over the runtime's own module paths.
    """

    role: tuple[str, ...] = ()
    projection: tuple[str, ...] = ()
    layers: tuple[int, ...] = ()
    layer_sets: tuple[str, ...] = ()
    block: tuple[str, ...] = ()
    stored: tuple[str, ...] = ()
    tensor: tuple[str, ...] = ()
    module: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. `action` is a format, a plain dtype ("source", "float32", …) or "drop". `allow` holds the codes of
    the advice that the rule silences.

    `where` points at the rule's id in its file. `fields` maps a dotted field name ("match.tensor",
    "format.affine.bits") to its place. Neither affects what the rule means, so they do not take part in comparisons.
    """

    id: str
    match: Match
    action: Format | Literal["source", "float32", "bfloat16", "float16", "drop"]
    optional: bool = False
    note: str = ""
    allow: tuple[str, ...] = ()
    where: Where = field(default=NOWHERE, compare=False)
    fields: tuple[tuple[str, Where], ...] = field(default=(), compare=False)

    def place(self, name: str) -> Where:
        """Returns where a field of the rule is written, or where the rule itself is."""
        return dict(self.fields).get(name, self.where)


@dataclass(frozen=True, slots=True)
class Source:
    """The checkpoint that the recipe was written for, and the families that its rules fit. `revision` is a commit of 40
    digits, or ""."""

    model: str
    revision: str
    family: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Target:
    """The runtime and the layout that the recipe asks for. `shard_size` is in bytes, 0 for one file. `half` is
    "float16" or "bfloat16". `backends` says where the bundle must run; () means that the recipe does not say."""

    runtime: str
    experts: str
    mtp: str
    shard_size: int
    half: str
    backends: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Recipe:
    """A flattened recipe: `extends` is resolved, defaults are spelled out, and rules are in the order they are
    tried."""

    name: str
    summary: str
    license: str
    source: Source
    target: Target
    rules: tuple[Rule, ...]
    where: Where = field(default=NOWHERE, compare=False)
    origins: tuple[tuple[str, str], ...] = field(default=(), compare=False)
    """Maps each dotted key or rule id to the file that it came from, for `show`."""
    fields: tuple[tuple[str, Where], ...] = field(default=(), compare=False)

    def place(self, name: str) -> Where:
        """Returns where a field of the header is written ("target.half"), or where the recipe itself is."""
        return dict(self.fields).get(name, self.where)
