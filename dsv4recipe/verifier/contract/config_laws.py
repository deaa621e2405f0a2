"""Floor 4, verifier. Checks config.json and the files beside it against the contract. This module is pure.

Source: docs/reference/runtimes.md, "Quantization entries" and "Configuration".
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from dsv4recipe.bundle.view import BundleView
from dsv4recipe.checkpoint.dims import text_section
from dsv4recipe.errors import Diagnostic, Where, did_you_mean
from dsv4recipe.formats.affine.spec import BITS, GROUP_SIZES
from dsv4recipe.runtimes import Target, targets
from dsv4recipe.verifier.contract.picture import Picture, SeenModule

Findings = Iterator[Diagnostic]


def _config(view: BundleView, subject: str = "") -> Where:
    return Where(str(view.root / "config.json"), subject=subject)


def _quantization(view: BundleView) -> Mapping[str, Any]:
    found = view.config.get("quantization")
    return found if isinstance(found, dict) else {}


def _overrides(view: BundleView) -> dict[str, Mapping[str, Any]]:
    """Returns the per-module entries, whose values hold {bits, group_size, mode}. MXTQ's own notes are not entries."""
    notes = ("mxtq_bits", "routed_expert_bit_plan")
    return {k: v for k, v in _quantization(view).items() if isinstance(v, dict) and k not in notes}


def _answers(view: BundleView) -> dict[str, Mapping[str, Any] | bool]:
    """Returns what the section says for a module's key: an entry, `true` (like the global one) or `false`
    (unquantized)."""
    return _overrides(view) | {k: v for k, v in _quantization(view).items() if isinstance(v, bool)}


def quantization_present(view: BundleView, picture: Picture, target: Target) -> Findings:
    """Yields V120 to V122 unless `quantization` exists, has whole numbers and a mode, and equals `quantization_config`,
    and nothing of the source's section is left."""
    if not any(module.quantized for module in picture.modules.values()):
        return
    top = _quantization(view)
    if not top:
        message = "config.json has no `quantization`, so every packed tensor would be read as a plain one"
        yield Diagnostic("V120", message, _config(view), "write the section, or build the bundle again")
        return
    legacy = view.config.get("quantization_config")
    if isinstance(legacy, dict) and legacy.get("quant_method"):
        message = f"the source's quantization_config ({legacy['quant_method']}) was left in config.json"
        yield Diagnostic(
            "V121", message, _config(view, "quantization_config"), "remove it, because loaders take the wrong branch"
        )
    elif legacy != top:
        message = "`quantization` and `quantization_config` differ"
        severity = "error"
        if legacy is None:
            message, severity = "`quantization` has no twin `quantization_config`", "warning"
        hint = "make them equal, because runtimes read one or the other"
        yield Diagnostic("V121", message, _config(view, "quantization_config"), hint, severity)
    for name, entry in [("", top), *_overrides(view).items()]:
        if {type(entry.get("bits")), type(entry.get("group_size"))} != {int} or not isinstance(entry.get("mode"), str):
            message = f"{name or 'the global entry'} needs bits, group_size (whole numbers) and mode"
            yield Diagnostic(
                "V122", message, _config(view, name), "add a mode; without it an mxfp4 module is read as affine"
            )


def every_override_hits(view: BundleView, picture: Picture, target: Target) -> Findings:
    """Yields V123 for override keys that do not name exactly one quantized module by its runtime path or disk stem.
    Paths of another known runtime are allowed, because that is how one config serves several runtimes."""
    quantized = [module for module in picture.modules.values() if module.quantized]
    paths = {key for module in quantized for keys in module.lookups for key in keys}
    dialects = [other for other in targets() if set(other.families) & set(target.families)]
    others = {key for module in quantized for other in dialects for key in other.keys(module.slot)}
    stems = {stem for module in quantized for stem in module.stems} if target.stem_overrides else set()
    for key in _overrides(view):
        if key in paths or key in stems or key in others:
            continue
        message = f"override {key!r} names no quantized module, so the runtime would ignore it and use the global width"
        hint = did_you_mean(key, paths).split("known:")[0] or "use the runtime's module paths as keys of overrides"
        yield Diagnostic("V123", message, _config(view, key), hint)


def every_width_right(view: BundleView, picture: Picture, target: Target) -> Findings:
    """Yields V124 for modules that the rule of mlx-lm 0.31 (exact path, else the global entry) would wrap at another
    width than stored. An entry under a disk stem must say the same. What passes here also passes the rule of 0.32,
    which only adds missing entries."""
    top = _quantization(view)
    entries = _answers(view)
    if not top:
        return
    for module in picture.modules.values():
        if not module.quantized:
            continue
        found = [next((key for key in keys if key in entries), keys[0]) for keys in module.lookups]
        asked = [(key, entries.get(key, top)) for key in found]
        asked += [(stem, entries[stem]) for stem in module.stems if target.stem_overrides and stem in entries]
        for name, entry in asked:
            if entry is False:
                message = f"{name} is marked `false` (not quantized), but its stored tensors are packed"
                hint = "remove the entry, or let `verify BUNDLE --fix-config OUT.json` write the section"
                yield Diagnostic("V124", message, _config(view, str(name)), hint)
                break
            problem = module.described(top if entry is True else entry)
            if problem:
                how = "its entry" if name in entries else "the global entry, because it has none of its own"
                message = f"{name} would be wrapped by {how}: {problem}"
                hint = f"write an entry for {module.name} that describes its {module.stored}"
                yield Diagnostic("V124", message, _config(view, str(name)), hint)
                break


def known_widths(view: BundleView, picture: Picture, target: Target) -> Findings:
    """Yields V133 for widths that not every version of MLX supports, and V134 for groups below the global size."""
    top = _quantization(view)
    for name, entry in [("the global entry", top), *_overrides(view).items()] if top else []:
        bits, group, mode = entry.get("bits"), entry.get("group_size"), entry.get("mode")
        if mode == "affine" and (bits not in BITS or group not in GROUP_SIZES):
            message = f"{name}: affine with {bits} bits in groups of {group} runs only in some versions of MLX"
            hint = f"use bits {', '.join(map(str, BITS))} and group sizes {', '.join(map(str, GROUP_SIZES))}"
            yield Diagnostic("V133", message, _config(view, name), hint)
        if type(group) is int and type(top.get("group_size")) is int and group < top["group_size"]:
            message = f"{name}: group size {group} is below the global {top['group_size']}"
            hint = "use the smallest group size as the global one, because quantize_model silently drops such an entry"
            yield Diagnostic("V134", message, _config(view, name), hint, "warning")


def gate_and_up_alike(view: BundleView, picture: Picture, target: Target) -> Findings:
    """Yields V125 if gate and up of a layer have different formats and the runtime fuses them."""
    pairs: dict[int | None, list[SeenModule]] = defaultdict(list)
    for module in picture.modules.values():
        if module.slot.row.projection in target.tied and module.experts and module.path is not None and module.stems:
            pairs[module.slot.layer].append(module)
    for layer, pair in pairs.items():
        shapes = {tuple((s, e.dtype, e.shape) for s, e in sorted(m.parts.items())) for m in pair}
        if len(shapes) > 1:
            message = f"layer {layer}: gate and up of the routed experts are stored in different formats"
            loses = "cannot load them" if target.tied_error else "loses its fused path"
            severity = "error" if target.tied_error else "warning"
            hint = f"use one format for both, because {target.name} {loses}"
            yield Diagnostic("V125", message, Where(str(view.root)), hint, severity)


def stop_tokens(view: BundleView, picture: Picture, target: Target) -> Findings:
    """Yields V126 unless both files stop at the end of a sentence and at the user token. generation_config overrides
    config."""
    seen = view.config.get("eos_token_id")
    if not isinstance(seen, list) or len(seen) < 2:
        message = f"eos_token_id is {seen!r}, so generation would continue with a user turn that it makes up"
        yield Diagnostic(
            "V126",
            message,
            _config(view, "eos_token_id"),
            "write a list of the end-of-sentence token and the user token",
        )
    other = view.json.get("generation_config.json", {}).get("eos_token_id", seen)
    if other != seen:
        message = f"generation_config.json stops at {other!r}, config.json at {seen!r}; the first one wins"
        yield Diagnostic("V126", message, Where(str(view.root / "generation_config.json")), "make them equal")


def config_keys(view: BundleView, picture: Picture, target: Target) -> Findings:
    """Yields V130 for values that no runtime can guess: rope scaling, the swiglu limit, the kind of every layer."""
    for key in ("rope_scaling", "swiglu_limit", "compress_ratios"):
        if not text_section(view.config).get(key):
            yield Diagnostic("V130", f"config.json lacks {key}", _config(view, key), "copy it from the source")
