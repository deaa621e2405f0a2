"""Floor 4, verifier. Laws of the contract on config.json and its companions. This module is pure.

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
    """Returns the per-module entries: keys that hold {bits, group_size, mode}. MXTQ's own notes are no entries."""
    notes = ("mxtq_bits", "routed_expert_bit_plan")
    return {k: v for k, v in _quantization(view).items() if isinstance(v, dict) and k not in notes}


def _answers(view: BundleView) -> dict[str, Mapping[str, Any] | bool]:
    """Returns what the section answers for a module's key: an entry, or `true` (as the global one) or `false`
    (unquantized)."""
    return _overrides(view) | {k: v for k, v in _quantization(view).items() if isinstance(v, bool)}


def quantization_present(view: BundleView, picture: Picture, target: Target) -> Findings:
    """Yields `quantization` there, with whole numbers and a mode, equal to `quantization_config`; nothing left of the
    source's."""
    if not any(module.quantized for module in picture.modules.values()):
        return
    top = _quantization(view)
    if not top:
        message = "config.json has no `quantization`: every packed tensor would be taken for a plain one"
        yield Diagnostic("V120", message, _config(view), "write the section, or build the bundle again")
        return
    legacy = view.config.get("quantization_config")
    if isinstance(legacy, dict) and legacy.get("quant_method"):
        message = f"the source's quantization_config ({legacy['quant_method']}) was left in config.json"
        yield Diagnostic(
            "V121", message, _config(view, "quantization_config"), "loaders take the wrong branch: remove it"
        )
    elif legacy != top:
        message = "`quantization` and `quantization_config` differ"
        severity = "error"
        if legacy is None:
            message, severity = "`quantization` has no twin `quantization_config`", "warning"
        hint = "runtimes read one or the other: make them equal"
        yield Diagnostic("V121", message, _config(view, "quantization_config"), hint, severity)
    for name, entry in [("", top), *_overrides(view).items()]:
        if {type(entry.get("bits")), type(entry.get("group_size"))} != {int} or not isinstance(entry.get("mode"), str):
            message = f"{name or 'the global entry'} needs bits, group_size (whole numbers) and mode"
            yield Diagnostic("V122", message, _config(view, name), "without a mode an mxfp4 module is taken for affine")


def every_override_hits(view: BundleView, picture: Picture, target: Target) -> Findings:
    """Yields every override key names exactly one quantized module by its post-sanitize path, or by its disk stem.
    Paths of another known runtime do no harm: it is how one config serves several."""
    quantized = [module for module in picture.modules.values() if module.quantized]
    paths = {key for module in quantized for keys in module.lookups for key in keys}
    dialects = [other for other in targets() if set(other.families) & set(target.families)]
    others = {key for module in quantized for other in dialects for key in other.keys(module.slot)}
    stems = {stem for module in quantized for stem in module.stems} if target.stem_overrides else set()
    for key in _overrides(view):
        if key in paths or key in stems or key in others:
            continue
        message = f"override {key!r} hits no quantized module: the runtime would ignore it and use the global width"
        hint = did_you_mean(key, paths).split("known:")[0] or "key overrides by post-sanitize module paths"
        yield Diagnostic("V123", message, _config(view, key), hint)


def every_width_right(view: BundleView, picture: Picture, target: Target) -> Findings:
    """Yields the rule of mlx-lm 0.31 (exact path, else the global entry) wraps every module at its stored width; an
    entry under a disk stem says the same. What passes here passes the rule of 0.32, which only repairs missing
    entries."""
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
                message = f"{name} is marked `false`, not quantized, and its stored tensors are packed"
                hint = "remove the entry, or let `verify BUNDLE --fix-config OUT.json` write the section"
                yield Diagnostic("V124", message, _config(view, str(name)), hint)
                break
            problem = module.described(top if entry is True else entry)
            if problem:
                how = "its entry" if name in entries else "the global entry, for want of one of its own"
                message = f"{name} would be wrapped by {how}: {problem}"
                hint = f"write an entry for {module.name} that describes its {module.stored}"
                yield Diagnostic("V124", message, _config(view, str(name)), hint)
                break


def known_widths(view: BundleView, picture: Picture, target: Target) -> Findings:
    """Widths that every version of MLX runs, and no entry in smaller groups than the global one."""
    top = _quantization(view)
    for name, entry in [("the global entry", top), *_overrides(view).items()] if top else []:
        bits, group, mode = entry.get("bits"), entry.get("group_size"), entry.get("mode")
        if mode == "affine" and (bits not in BITS or group not in GROUP_SIZES):
            message = f"{name}: affine with {bits} bits in groups of {group} runs in some versions of MLX only"
            hint = f"bits {', '.join(map(str, BITS))}; group sizes {', '.join(map(str, GROUP_SIZES))}"
            yield Diagnostic("V133", message, _config(view, name), hint)
        if type(group) is int and type(top.get("group_size")) is int and group < top["group_size"]:
            message = f"{name}: group size {group} is below the global {top['group_size']}"
            hint = "quantize_model drops such an entry in silence: write the smallest group size as the global one"
            yield Diagnostic("V134", message, _config(view, name), hint, "warning")


def gate_and_up_alike(view: BundleView, picture: Picture, target: Target) -> Findings:
    """Gate and up of a layer in one format, where the runtime fuses them."""
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
            hint = f"{target.name} {loses}: give both one format"
            yield Diagnostic("V125", message, Where(str(view.root)), hint, severity)


def stop_tokens(view: BundleView, picture: Picture, target: Target) -> Findings:
    """Yields a bundle stops at end of sentence and at the user token, in both files; generation_config overrides
    config."""
    seen = view.config.get("eos_token_id")
    if not isinstance(seen, list) or len(seen) < 2:
        message = f"eos_token_id is {seen!r}: generation would run on into a user turn of its own"
        yield Diagnostic("V126", message, _config(view, "eos_token_id"), "a list of end-of-sentence and user token")
    other = view.json.get("generation_config.json", {}).get("eos_token_id", seen)
    if other != seen:
        message = f"generation_config.json stops at {other!r}, config.json at {seen!r}; the first one wins"
        yield Diagnostic("V126", message, Where(str(view.root / "generation_config.json")), "make them equal")


def config_keys(view: BundleView, picture: Picture, target: Target) -> Findings:
    """What no runtime can guess: rope scaling, the swiglu limit, the kind of every layer."""
    for key in ("rope_scaling", "swiglu_limit", "compress_ratios"):
        if not text_section(view.config).get(key):
            yield Diagnostic("V130", f"config.json has lost {key}", _config(view, key), "copy it from the source")
