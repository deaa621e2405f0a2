"""Floor 4, verifier. What each class's `sanitize` makes of a tensor's name, and of experts stored one by one. Pure.

Source: fact sheets mlx.md 3.2 and vmlx.md 3.1; the classes of mlx-vlm 0.7.10, rapid-mlx 0.16.10 and jang 2.5.50, read,
and held against their own loads by `tests/verifier/test_replay.py`. Experts stand as `{E}`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from dsv4recipe.bundle.view import split_name
from dsv4recipe.headers.safetensors import TensorEntry
from dsv4recipe.runtimes.common.names import PROJECTION_OF
from dsv4recipe.verifier.contract.replay.model import Given, Stored

_SINGLE = re.compile(r"\.experts\.(\d+)\.")
_MATRICES = "|".join((*PROJECTION_OF, *PROJECTION_OF.values()))
_STACK = re.compile(rf"((?:model\.layers|mtp)\.\d+\.(?:ffn|mlp))\.experts\.\{{E\}}\.({_MATRICES})\.(\w+)")
_HC = re.compile(r"\.hc_(attn|ffn)_(fn|base|scale)")
_SHARED = re.compile(r"\.shared_experts\.(w[123])\.")
_TOP = {
    "embed.weight": "model.embed_tokens.weight",
    "norm.weight": "model.norm.weight",
    "head.weight": "lm_head.weight",
    **{f"hc_head_{part}": f"model.hc_head.{part}" for part in ("fn", "base", "scale")},
}
_VLM_TOP = {
    **_TOP,
    **{f"{stem}.{p}": f"model.embed_tokens.{p}" for stem in ("embed", "embed_tokens") for p in ("scales", "biases")},
    **{f"hc_head.{part}": f"model.hc_head.{part}" for part in ("fn", "base", "scale")},
}


def collapse(tensors: Mapping[str, Mapping[str, TensorEntry]]) -> Given:
    """The bundle's tensors by name, single experts under one name with `{E}`: what is replayed stays small."""
    found: Given = {}
    single: dict[str, tuple[str, tuple[int, ...], set[int], bool]] = {}
    for stem, parts in tensors.items():
        hit = _SINGLE.search(stem)
        if hit is None:
            found.update((stem + suffix, Stored(e.dtype, e.shape)) for suffix, e in parts.items())
            continue
        pattern = f"{stem[: hit.start()]}.experts.{{E}}.{stem[hit.end() :]}"
        for suffix, e in parts.items():
            dtype, shape, numbers, alike = single.get(pattern + suffix, (e.dtype, e.shape, set(), True))
            numbers.add(int(hit[1]))
            single[pattern + suffix] = dtype, shape, numbers, alike and (e.dtype, e.shape) == (dtype, shape)
    for name, (dtype, shape, numbers, alike) in single.items():
        found[name] = Stored(dtype, shape, frozenset(numbers), alike)
    return found


def pr1192(name: str) -> str | None:
    """mlx-lm#1192, Rapid-MLX, oMLX."""
    return None if name.startswith("mtp.") or ".confidence_head." in name else _as_class(name, _TOP, r".\1_hc.\2")


def stage(name: str) -> str | None:
    """Rapid-MLX, a tensor of a DSpark stage that it has modules for; it has no confidence head."""
    return None if ".confidence_head." in name else _as_class(name, {}, r".\1_hc.\2").replace(".hc_head_", ".hc_head.")


def fork(name: str) -> str | None:
    """The mlx-lm branch of the Q3 bundle: hyper-connections are called otherwise."""
    return None if name.startswith("mtp.") else _as_class(name, _TOP, r".hc_\1.\2")


def mlx_vlm(name: str) -> str | None:
    """mlx-vlm: Transformers' spellings first, then as mlx-lm#1192, then the wrapper."""
    if name.startswith("model."):
        name = name.removeprefix("model.")
        name = "embed.weight" if name == "embed_tokens.weight" else name
    name = name.replace(".self_attn.", ".attn.").replace(".mlp.", ".ffn.")
    if ".ffn.experts." in name:
        for short, long in PROJECTION_OF.items():
            name = name.replace(f".{long}.", f".{short}.")
    return None if name.startswith("mtp.") else _as_class(name, _VLM_TOP, r".\1_hc.\2")


def wrapped(name: str) -> str:
    """The name inside mlx-vlm's `language_model`, which it gives after it has stacked experts."""
    return f"language_model.{name}" if name.startswith(("model.", "lm_head.")) else name


def _as_class(name: str, top: Mapping[str, str], hyper: str) -> str:
    if name in top:
        return top[name]
    name = f"model.{name}" if name.startswith("layers.") else name
    name = name.replace(".ffn.gate.bias", ".ffn.gate.e_score_correction_bias")
    return _SHARED.sub(lambda hit: f".shared_experts.{PROJECTION_OF[hit[1]]}.", _HC.sub(hyper, name))


def jang(name: str) -> str | None:
    """jang's class, and so vMLX: made for source names, and not idempotent."""
    if name.startswith("mtp."):
        return None
    stem, suffix = split_name(name)
    if stem == "head":
        return "lm_head" + suffix
    hit = re.fullmatch(r"layers\.(\d+)\.(.+)", name)
    if hit is None:
        return f"model.{name}"
    rest = hit[2]
    for old, new in (
        ("attn_norm.weight", "input_layernorm.weight"),
        ("ffn_norm.weight", "post_attention_layernorm.weight"),
    ):
        rest = new if rest == old else rest
    if rest.startswith("attn."):
        rest = "self_attn." + rest.removeprefix("attn.")
    elif rest.startswith("ffn."):
        rest = _SHARED.sub(lambda hit: f".shared_experts.{PROJECTION_OF[hit[1]]}.", "mlp." + rest.removeprefix("ffn."))
    return f"model.layers.{hit[1]}.{rest}"


def stack(given: Given, suffixes: tuple[str, ...], experts: int) -> tuple[Given, str]:
    """Single experts of the `suffixes` under `switch_mlp`; and why that would fail ("" if it does not)."""
    found: Given = {}
    problem = ""
    for name, tensor in given.items():
        hit = _STACK.fullmatch(name)
        numbers = tensor.experts
        if hit is None or hit[3] not in suffixes or numbers is None or 0 not in numbers:
            found[name] = tensor
            continue
        projection = PROJECTION_OF.get(hit[2], hit[2])
        lost = sorted(set(range(experts)) - numbers)
        if lost:
            problem = problem or f"KeyError: {name.replace('{E}', str(lost[0]))} (an expert is missing)"
        elif not tensor.alike:
            problem = problem or f"{name}: its experts have different shapes and cannot be stacked"
        found[f"{hit[1]}.switch_mlp.{projection}.{hit[3]}"] = Stored(tensor.dtype, (experts, *tensor.shape))
    return found, problem
