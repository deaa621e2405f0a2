"""Floor 1, checkpoint. Translates other tools' tensor names into those of the release, so that the rest of the package
sees one set of names. This module is pure.

The names alone decide: a prefix around the language model, `weight_scale_inv` for a scale, and the names that
transformers gives its own class of the family (5.24, conversion_mapping of deepseek_v4). A stacked tensor is read
expert by expert, because each expert is a range of its bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from dsv4recipe.checkpoint.dims import Dims
from dsv4recipe.checkpoint.family import Family
from dsv4recipe.headers.safetensors import TensorEntry

Entries = dict[str, tuple[str, TensorEntry]]
"""Maps the name of each stored tensor to its file and place."""

PREFIXES = ("model.language_model.", "language_model.model.", "language_model.", "model.")
"""Prefixes that tools put before `layers.N.`, longest first."""

_TRANSFORMERS = tuple(
    (re.compile(pattern), name)
    for pattern, name in (
        (r"\.attn\.", ".self_attn."),
        (r"\.ffn\.", ".mlp."),
        (r"\.indexer\.compressor\.", ".compressor.indexer."),
        (r"\.self_attn\.indexer\.weights_proj\.", ".self_attn.compressor.indexer.scorer.weights_proj."),
        (r"\.self_attn\.indexer\.wq_b\.", ".self_attn.compressor.indexer.q_b_proj."),
        (r"^embed\.", "embed_tokens."),
        (r"^head\.", "lm_head."),
        (r"^hc_head_", "hc_head.hc_"),
        (r"\.attn_norm\.", ".input_layernorm."),
        (r"\.ffn_norm\.", ".post_attention_layernorm."),
        (r"\.hc_(attn|ffn)_", r".\1_hc."),
        (r"\.attn_sink$", ".sinks"),
        (r"\.norm\.", ".kv_norm."),
        (r"\.ape$", ".position_bias"),
        (r"\.wq_a\.", ".q_a_proj."),
        (r"\.wq_b\.", ".q_b_proj."),
        (r"\.wkv\.", ".kv_proj."),
        (r"\.wgate\.", ".gate_proj."),
        (r"\.wo_(a|b)\.", r".o_\1_proj."),
        (r"\.q_norm\.", ".q_a_norm."),
        (r"\.gate\.bias$", ".gate.e_score_correction_bias"),
        (r"experts\.w1\.", "experts.gate_proj."),
        (r"experts\.w2\.", "experts.down_proj."),
        (r"experts\.w3\.", "experts.up_proj."),
        (r"(experts\.\d+)\.w1\.", r"\1.gate_proj."),
        (r"(experts\.\d+)\.w2\.", r"\1.down_proj."),
        (r"(experts\.\d+)\.w3\.", r"\1.up_proj."),
    )
)
_STACK = re.compile(r"(?P<block>.+\.mlp\.experts)\.(?P<what>gate_up_proj|down_proj)(?:\.weight)?")
_NUMBER = re.compile(r"\.experts\.(\d{1,5})\.")
_HALVES = {"gate_up_proj": ("gate_proj", "up_proj"), "down_proj": ("down_proj",)}


def transformers_name(name: str) -> str:
    """Returns the name that transformers gives a tensor of the release, without its own prefix `model.`."""
    for pattern, other in _TRANSFORMERS:
        name = pattern.sub(other, name)
    return name


def dialect_of(names: Mapping[str, object]) -> str:
    """Returns whose names these are, in words; "" for those of the release."""
    prefix = _prefix(names)
    words = []
    if any(".self_attn." in name for name in names):
        stacked = any(_STACK.fullmatch(_plain(name, prefix)) for name in names if ".experts." in name)
        words.append(f"transformers, experts {'stacked' if stacked else 'one by one'}")
    if prefix:
        words.append(f"prefix {prefix.removesuffix('.')}")
    if any(name.endswith(".weight_scale_inv") for name in names):
        words.append("scales as weight_scale_inv")
    return "; ".join(words)


def canonical(entries: Entries, family: Family, dims: Dims) -> Entries:
    """Returns the entries under the names of the release. A name that no table knows stays as it is. If two names
    would become one, nothing is renamed."""
    prefix = _prefix(entries)
    found = entries
    if prefix or any(name.endswith(".weight_scale_inv") for name in entries):  # else 70,000 names stay as they are
        found = _renamed(entries, ((name, _plain(name, prefix)) for name in entries))
    if not any(".self_attn." in name for name in found):
        return found
    found = dict(_unstacked(found))
    most = max((int(match[1]) + 1 for name in found if (match := _NUMBER.search(name))), default=0)
    dims = replace(dims, experts=max(dims.experts, most))  # names of experts that config.json does not count, too
    known = {transformers_name(name): name for each in family.expected(dims) for name in _with_scale(each.name)}
    return _renamed(found, ((name, known.get(name, name)) for name in found))


def _renamed(entries: Entries, names: Iterable[tuple[str, str]]) -> Entries:
    made = {new: entries[old] for old, new in names}
    return made if len(made) == len(entries) else entries


def _prefix(names: Mapping[str, object]) -> str:
    heads = {name.partition("layers.")[0] for name in names if "layers." in name}
    return next((p for p in PREFIXES if p in heads), "")


def _plain(name: str, prefix: str) -> str:
    outer = "language_model." if prefix.startswith(("language_model.", "model.language")) else ""
    name = name.removeprefix(prefix) if prefix and name.startswith(prefix) else name.removeprefix(outer)
    return name.removesuffix("weight_scale_inv") + "scale" if name.endswith(".weight_scale_inv") else name


def _with_scale(name: str) -> Iterator[str]:
    yield name
    if name.endswith(".weight"):
        yield name.removesuffix("weight") + "scale"


def _unstacked(entries: Entries) -> Iterator[tuple[str, tuple[str, TensorEntry]]]:
    """Yields each expert of a stack [experts, rows, columns] as its own entry. Gate and up share a stack, and gate
    comes first."""
    for name, (file, entry) in entries.items():
        stack = _STACK.fullmatch(name)
        parts = _HALVES[stack["what"]] if stack else ()
        if stack is None or len(entry.shape) != 3 or entry.shape[1] % len(parts) or not entry.shape[0]:
            yield name, (file, entry)
            continue
        experts, rows, columns = entry.shape
        size = entry.nbytes // experts // len(parts)
        for number in range(experts * len(parts)):
            expert, part = divmod(number, len(parts))
            own = f"{stack['block']}.{expert}.{parts[part]}.weight"
            start = entry.start + number * size
            shape = (rows // len(parts), columns)
            yield own, (file, replace(entry, name=own, shape=shape, start=start, end=start + size))
