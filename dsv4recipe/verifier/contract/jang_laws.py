"""Floor 4, verifier. Checks what jang's loaders and vMLX add to the contract: places of tensors, companion files. Pure,
except that it looks which companions exist.

Source: docs/reference/runtimes.md, "Shards" and "JANG companions".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from dsv4recipe.bundle.manifest import INDEX_NAME
from dsv4recipe.bundle.view import BundleView
from dsv4recipe.errors import Diagnostic, Where
from dsv4recipe.formats.base import ITEM_SIZE
from dsv4recipe.runtimes import Target, loaders
from dsv4recipe.runtimes.common.side_files import EOS_TOKENS
from dsv4recipe.runtimes.vmlx import sidecar as vmlx_sidecar
from dsv4recipe.verifier.contract.picture import Picture

Findings = Iterator[Diagnostic]
SWIGLU_LIMIT = 10.0
_PATH = re.compile(r"/[^/\s]+/|~/|[A-Za-z]:[/\\]|\\\\")


def experts_together(view: BundleView, picture: Picture, target: Target) -> Findings:
    """Yields V105 if experts are stored one by one and those of a projection are not in one shard."""
    for module in picture.modules.values():
        if not module.per_expert or module.path is None:
            continue
        shards = {view.shard_of[stem + suffix] for stem, parts in module.stems.items() for suffix in parts}
        if len(shards) > 1:
            message = f"{module.name}: its experts lie in {len(shards)} shards; load_jangtq_model fails with a KeyError"
            where = Where(str(view.root), subject=module.name)
            yield Diagnostic("V105", message, where, "keep the experts of one projection in one shard")


def aligned(view: BundleView, picture: Picture, target: Target) -> Findings:
    """Yields V109 for tensors that are not aligned to their item size, which makes vMLX rewrite the shard on first
    load."""
    for header in view.shards:
        odd = [entry for entry in header.tensors if entry.start % ITEM_SIZE[entry.dtype]]
        if odd:
            message = f"{len(odd)} tensors are not aligned to their item size; the first is {odd[0].name}"
            hint = "align them, because vMLX would rewrite the shard on first load and change its hash"
            yield Diagnostic("V109", message, Where(str(view.root / header.file)), hint)


def first_shard(view: BundleView, picture: Picture, target: Target) -> Findings:
    """Yields V110, because the loader looks for prestacked MXTQ experts only in the first shard."""
    stacked = [m for m in picture.modules.values() if m.packed_mxtq and not m.per_expert]
    if not stacked or not view.shards:
        return
    first = view.shards[0].file
    if not any(view.shard_of[stem + ".tq_packed"] == first for module in stacked for stem in module.stems):
        message = f"{first} holds no prestacked MXTQ expert: load_jangtq_model assumes another layout and fails"
        yield Diagnostic("V110", message, Where(str(view.root / first)), "put a routed module into the first shard")


def companions(view: BundleView, picture: Picture, target: Target) -> Findings:
    """Yields findings unless the companions that vMLX reads exist and are correct."""
    config, jang = view.config, view.json.get("jang_config.json")
    top = config.get("quantization")
    top = top if isinstance(top, dict) else {}
    mxtq = any(module.packed_mxtq for module in picture.modules.values())
    where = Where(str(view.root / "jang_config.json"))
    if jang is None:
        yield Diagnostic("V127", "jang_config.json is missing, so vMLX treats the folder as a stock MLX model", where)
    else:
        section = jang.get("quantization")
        group = section.get("group_size") if isinstance(section, dict) else None
        if top and group != top.get("group_size"):
            message = f"jang_config.json: quantization.group_size is {group!r}; vMLX assumes 64 if it is not right"
            severity = "warning" if mxtq and group is None else "error"  # vMLX leaves MXTQ bundles to jang's loader
            yield Diagnostic("V127", message, where, f"set it to {top.get('group_size')}", severity)
        if top and isinstance(section, dict) and section.get("bits", top.get("bits")) != top.get("bits"):
            message = (
                f"jang_config.json: quantization.bits is {section['bits']!r}, but config.json says {top.get('bits')!r}"
            )
            yield Diagnostic("V127", message, where, "make them equal")
        wanted = "mxtq" if mxtq else "affine"
        if jang.get("weight_format") != wanted:
            message = f"jang_config.json: weight_format is {jang.get('weight_format')!r}, but the tensors are {wanted}"
            yield Diagnostic("V128", message, where, f"set it to {wanted!r}")
    if mxtq != (config.get("weight_format") == "mxtq"):
        message = f"config.json: weight_format is {config.get('weight_format')!r}, but MXTQ tensors: {mxtq}"
        yield Diagnostic(
            "V128",
            message,
            Where(str(view.root / "config.json"), subject="weight_format"),
            "correct it, because it selects the loader",
        )
    if mxtq != (view.root / vmlx_sidecar.NAME).exists():
        message = (
            "the sidecar jangtq_runtime.safetensors is missing" if mxtq else "there is a sidecar, but no MXTQ tensors"
        )
        yield Diagnostic(
            "V129",
            message,
            Where(str(view.root)),
            "correct this, because the presence of the file selects the MXTQ loader",
        )
    if not (view.root / "encoding" / "encoding_dsv4.py").is_file():
        message = "encoding/encoding_dsv4.py is missing, so vMLX cannot build prompts and refuses the bundle"
        yield Diagnostic("V131", message, Where(str(view.root)), "copy the source's encoding folder")


_UNCHANGED = "nothing: vMLX finds the entry under the module path; a tool that knows names on disk alone would guess"


def disk_entries(view: BundleView, picture: Picture, target: Target) -> Findings:
    """Yields V140 for modules that the global entry does not describe and that have no entry under each disk stem. vMLX
    looks there and otherwise guesses. Its guess replaces the entry under the module path, except for prestacked
    experts."""
    top = view.config.get("quantization")
    if not isinstance(top, dict):
        return
    for module in picture.modules.values():
        if not module.quantized or module.path is None or module.described(top) == "":
            continue
        missing = [stem for stem in module.stems if not isinstance(top.get(stem), dict)]
        if missing:
            guessed = module.per_expert or not module.experts
            effect = "it may take another width" if guessed else "prestacked experts keep their entry under the path"
            message = f"{missing[0]} has no entry under the name on disk, where vMLX looks first; {effect}"
            more = [f"and {len(missing) - 1:,} more stems of {module.name}"] if len(missing) > 1 else []
            note = (*more, *(_versions(target) if guessed else ()))
            where = Where(str(view.root / "config.json"), subject=missing[0])
            hint = f"write an entry for {missing[0]} that describes its {module.stored}; --fix-config writes all"
            found = Diagnostic("V140", message, where, hint, "error" if guessed else "warning", note)
            yield found if guessed else replace(found, sees=_UNCHANGED)


def _versions(target: Target) -> tuple[str, ...]:
    """Which loaders of such bundles write over entries by what they find on disk, and which do not."""
    there = [each for each in loaders(target.families[0]) if target.name in each.serves and not each.unsupported]
    over = [f"{each.name} {each.version}" for each in there if each.repair]
    sound = [f"{each.name} {each.version}" for each in there if not each.repair and each.target.name == target.name]
    if not over or not sound:
        return ()
    return (f"{', '.join(over)} writes over the entries under module paths; {', '.join(sound)} does not",)


def no_absolute_path(view: BundleView, picture: Picture, target: Target) -> Findings:
    """Yields V141 for paths of the machine that built the bundle."""
    for name in ("config.json", "jang_config.json", INDEX_NAME):
        data = view.json.get(name, {})
        for key, value in _strings(data.get("metadata", {}) if name == INDEX_NAME else data):
            if _PATH.match(value):
                message = f"{name}: {key} is {value[:80]!r}, a path of the machine that built the bundle"
                where = Where(str(view.root / name), subject=key)
                yield Diagnostic(
                    "V141", message, where, "remove it, because it reveals details of that machine", "warning"
                )


def _strings(data: Any, key: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(data, str):
        yield key, data
    elif isinstance(data, dict):
        for name, value in data.items():
            yield from _strings(value, f"{key}.{name}".lstrip("."))


def stop_ids(view: BundleView, picture: Picture, target: Target) -> Findings:
    """Yields V126 unless the stop tokens are those of the bundle's own tokenizer."""
    added, stops = view.json.get("tokenizer.json", {}).get("added_tokens"), view.config.get("eos_token_id")
    if not isinstance(added, list) or not isinstance(stops, list):
        return
    known = {token.get("content"): token.get("id") for token in added if isinstance(token, dict)}
    for token in EOS_TOKENS:
        if token in known and known[token] not in stops:
            message = f"eos_token_id {stops} lacks {known[token]!r}, the tokenizer's {token}"
            where = Where(str(view.root / "config.json"), subject="eos_token_id")
            yield Diagnostic("V126", message, where, "add the id; otherwise generation continues after it")


def clamped_swiglu(view: BundleView, picture: Picture, target: Target) -> Findings:
    """Yields V130, because vMLX refuses MXTQ experts whose SwiGLU is not clamped at 10."""
    limit = view.config.get("swiglu_limit")
    if any(module.packed_mxtq for module in picture.modules.values()) and limit and limit != SWIGLU_LIMIT:
        message = f"config.json: swiglu_limit is {limit!r}; vMLX refuses MXTQ experts unless it is {SWIGLU_LIMIT}"
        where = Where(str(view.root / "config.json"), subject="swiglu_limit")
        yield Diagnostic("V130", message, where, "copy it from the source")
