"""Floor 4, verifier. Checks tensors and key/values of a GGUF file against what the engine needs. Pure, except that it
reads integer tables.

Source: docs/reference/runtimes.md, "GGUF engines". Loaders check less than this: ds4 accepts extra tensors and a router
without its bias, and llama.cpp silently falls back to another rope scaling.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from dsv4recipe.bundle.view import BundleView
from dsv4recipe.checkpoint.dims import Dims
from dsv4recipe.checkpoint.family import Family, Slot
from dsv4recipe.errors import Diagnostic, Where, did_you_mean
from dsv4recipe.formats.ggml.spec import TYPE_IDS
from dsv4recipe.headers.gguf import Pair, read_gguf_header
from dsv4recipe.headers.safetensors import TensorEntry
from dsv4recipe.runtimes import Target
from dsv4recipe.runtimes.common.gguf_engine import Engine
from dsv4recipe.runtimes.common.gguf_metadata import ARCHITECTURE, FROM_CONFIG
from dsv4recipe.verifier.contract.index_laws import outside

Findings = Iterator[Diagnostic]


@dataclass(frozen=True)
class GgufPicture:
    """The tensors of a file next to those that its key/values require, by name, with the slot and shape of each, and
    its blocks ("main", "mtp")."""

    view: BundleView
    dims: Dims
    entries: Mapping[str, TensorEntry]
    wanted: Mapping[str, tuple[Slot, tuple[int, ...]]]
    pairs: Mapping[str, Pair]
    blocks: tuple[str, ...]

    def where(self, subject: str = "") -> Where:
        return Where(str(self.view.root), subject=subject)


def look_at_gguf(view: BundleView, family: Family, target: Target) -> GgufPicture:
    """Compares a file with what its key/values require. Raises RecipeError C010 if these do not give the shapes."""
    dims = family.dims_of(dict(view.config), str(view.root))
    entries = {entry.name: entry for shard in view.shards for entry in shard.tensors}
    wanted: dict[str, tuple[Slot, tuple[int, ...]]] = {}
    for expected in family.expected(dims):
        slot = expected.slot
        lead = (dims.experts,) if slot.expert is not None else ()
        name = target.disk_stem(slot, target.expert_layouts[0]) + target.suffix(slot)
        wanted.setdefault(name, (slot, lead + expected.shape))
    held = Counter(wanted[name][0].block for name in entries if name in wanted)
    pairs = read_gguf_header(view.root).pairs
    return GgufPicture(view, dims, entries, wanted, pairs, tuple(held))


def gguf_findings(picture: GgufPicture, target: Target) -> Findings:
    """Yields the findings of every law over the file."""
    engine = target.engine
    assert engine is not None
    for law in (tensors_complete, shapes_and_types, numbers_in_range, gate_and_up_alike, keys, vocabulary):
        yield from law(picture, target, engine)


def tensors_complete(picture: GgufPicture, target: Target, engine: Engine) -> Findings:
    """Yields findings unless the tensors are exactly those of the main model, or of the prediction stages."""
    for name in picture.entries:
        if name not in picture.wanted:
            hint = did_you_mean(name, picture.wanted).split("known:")[0]
            message = f"{name}: this model has no tensor of this name; llama.cpp refuses the file, ds4 ignores it"
            yield Diagnostic("V101", message, picture.where(name), hint)
    for name, (slot, _) in picture.wanted.items():
        if slot.block in picture.blocks and name not in picture.entries:
            yield Diagnostic("V102", f"{name} is not in the file", picture.where(name), "build the file again")
    if len(picture.blocks) > 1:
        message = "the main model and its prediction stages are in one file, but the engines need two"
        yield Diagnostic("V160", message, picture.where(), "build them with two recipes")


def shapes_and_types(picture: GgufPicture, target: Target, engine: Engine) -> Findings:
    """Yields findings for tensors with a wrong shape, or with a type that the engine does not load for them."""
    for name, entry in picture.entries.items():
        if name not in picture.wanted:
            continue
        slot, shape = picture.wanted[name]
        if entry.shape != shape:
            message = f"{name}: its shape is {list(entry.shape)}, but the key/values require {list(shape)}"
            yield Diagnostic("V106", message, picture.where(name))
        rank = len(shape) - (slot.expert is not None)
        allowed = engine.types(slot, rank)
        strange = entry.dtype not in TYPE_IDS and engine.reads_other_types
        if entry.dtype not in allowed and not strange:
            message = f"{name} is {entry.dtype}: {target.name} {engine.version} does not load that for {slot.row.role}"
            yield Diagnostic("V161", message, picture.where(name), f"it loads: {', '.join(allowed)}")


def numbers_in_range(picture: GgufPicture, target: Target, engine: Engine) -> Findings:
    """Yields findings for integer tables with a value outside of what it indexes."""
    for name, entry in picture.entries.items():
        slot, _ = picture.wanted.get(name, (None, ()))
        if slot is not None and slot.below(picture.dims):
            yield from outside(picture.view.root, name, entry, slot, picture.dims)


def gate_and_up_alike(picture: GgufPicture, target: Target, engine: Engine) -> Findings:
    """Yields V125 if gate and up of a layer have different types and the engine needs one."""
    types: dict[tuple[str, int | None], dict[str, str]] = defaultdict(dict)
    for name, entry in picture.entries.items():
        slot = picture.wanted[name][0] if name in picture.wanted else None
        if slot is not None and slot.expert is not None and slot.row.projection in target.tied:
            types[slot.block, slot.layer][slot.row.projection] = entry.dtype
    for (_, layer), found in types.items():
        if len(set(found.values())) > 1:
            message = f"layer {layer}: gate is {found['gate']} and up {found['up']}; {target.name} refuses the file"
            yield Diagnostic("V125", message, picture.where(), "use one type for both")


def keys(picture: GgufPicture, target: Target, engine: Engine) -> Findings:
    """Yields findings for keys that are missing, have another type than both engines read, or differ from built-in
    values."""
    if "main" not in picture.blocks:
        return
    others = (("attention.compress_ratios", "i32[]"), ("swiglu_clamp_exp", "f32[]"), ("expert_gating_func", "u32"))
    for name, kind, *_ in (*FROM_CONFIG, *others):
        key = f"{ARCHITECTURE}.{name}"
        pair = picture.pairs.get(key)
        if pair is None or pair.kind != kind:
            message = f"{key} is {'missing' if pair is None else pair.kind}, but engines read {kind}"
            yield Diagnostic("V162", message, picture.where(key), "build the file again")
    layers, value = picture.dims.layers, picture.view.values.get
    clamp = value(f"{ARCHITECTURE}.swiglu_clamp_exp") or ()
    if len(clamp) != layers:
        message = f"swiglu_clamp_exp has {len(clamp)} values for {layers} layers; llama.cpp refuses the file"
        yield Diagnostic("V162", message, picture.where())
    if value(f"{ARCHITECTURE}.rope.scaling.type") != "yarn":
        message = "rope.scaling.type is not yarn, so llama.cpp would silently scale positions linearly"
        yield Diagnostic("V162", message, picture.where())
    for odd in engine.unlike(picture.view.values):
        message = f"{target.name} {engine.version} has other built-in values for the model: {odd}"
        yield Diagnostic("V163", message, picture.where(), "use llama.cpp, which reads these values from the file")


def vocabulary(picture: GgufPicture, target: Target, engine: Engine) -> Findings:
    """Yields findings unless there is a token and a type for each id, merges, and the tokens that the engine looks up.
    Prediction stages need none."""
    if "main" not in picture.blocks:
        return
    value = picture.view.values.get
    counts = {name: len(value(f"tokenizer.ggml.{name}") or ()) for name in ("tokens", "token_type", "merges")}
    for name in ("tokens", "token_type"):
        if counts[name] != picture.dims.vocab:
            message = f"tokenizer.ggml.{name} has {counts[name]:,} values, the vocabulary {picture.dims.vocab:,}"
            yield Diagnostic("V164", message, picture.where())
    if not counts["merges"]:
        yield Diagnostic("V164", "tokenizer.ggml.merges is missing", picture.where())
    for token in engine.lacking(value("tokenizer.ggml.tokens") or ()):
        yield Diagnostic("V164", f"the tokenizer has no {token}, which {target.name} looks up", picture.where())
