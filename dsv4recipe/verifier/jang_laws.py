"""Floor 4, verifier. Laws that jang's loaders and vMLX add to the contract: places of tensors, companions. Pure but for
looking which companions exist.

Source: fact sheet vmlx.md section 1 (rules 3, 6, 9 and 11 to 16) and 6.3.
"""

from __future__ import annotations

from collections.abc import Iterator

from dsv4recipe.bundle.view import BundleView
from dsv4recipe.errors import Diagnostic, Where
from dsv4recipe.formats.base import ITEM_SIZE
from dsv4recipe.targets import Target
from dsv4recipe.verifier.seen import Picture

Findings = Iterator[Diagnostic]


def experts_together(view: BundleView, picture: Picture, target: Target) -> Findings:
    """Experts stored one by one: those of one projection in one shard (rule 3)."""
    for module in picture.modules.values():
        if not module.per_expert or module.path is None:
            continue
        shards = {view.shard_of[stem + suffix] for stem, parts in module.stems.items() for suffix in parts}
        if len(shards) > 1:
            message = f"{module.name}: its experts lie in {len(shards)} shards; load_jangtq_model fails with a KeyError"
            where = Where(str(view.root), subject=module.name)
            yield Diagnostic("V105", message, where, "keep the experts of one projection in one shard")


def aligned(view: BundleView, picture: Picture, target: Target) -> Findings:
    """Rule 9: a tensor that is not aligned to its item size makes vMLX rewrite the shard on first load."""
    for header in view.shards:
        odd = [entry for entry in header.tensors if entry.start % ITEM_SIZE[entry.dtype]]
        if odd:
            message = f"{len(odd)} tensors are not aligned to their item size, first {odd[0].name}"
            hint = "vMLX would rewrite the shard on first load, and its hash would change"
            yield Diagnostic("V109", message, Where(str(view.root / header.file)), hint)


def first_shard(view: BundleView, picture: Picture, target: Target) -> Findings:
    """Rule 6: the loader looks for prestacked MXTQ experts in the first shard only."""
    stacked = [m for m in picture.modules.values() if m.packed_mxtq and not m.per_expert]
    if not stacked or not view.shards:
        return
    first = view.shards[0].file
    if not any(view.shard_of[stem + ".tq_packed"] == first for module in stacked for stem in module.stems):
        message = (
            f"{first} holds no prestacked MXTQ expert: load_jangtq_model takes the bundle for another layout and fails"
        )
        yield Diagnostic("V110", message, Where(str(view.root / first)), "put a routed module into the first shard")


def companions(view: BundleView, picture: Picture, target: Target) -> Findings:
    """Rules 11 to 13 and 16: companions that vMLX reads."""
    config, jang = view.config, view.json.get("jang_config.json")
    top = config.get("quantization")
    top = top if isinstance(top, dict) else {}
    mxtq = any(module.packed_mxtq for module in picture.modules.values())
    where = Where(str(view.root / "jang_config.json"))
    if jang is None:
        yield Diagnostic("V127", "jang_config.json is missing: vMLX takes the folder for a stock MLX model", where)
    else:
        section = jang.get("quantization")
        group = section.get("group_size") if isinstance(section, dict) else None
        if top and group != top.get("group_size"):
            message = f"jang_config.json: quantization.group_size is {group!r}; vMLX assumes 64 without the right one"
            yield Diagnostic("V127", message, where, f"set it to {top.get('group_size')}")
        wanted = "mxtq" if mxtq else "affine"
        if jang.get("weight_format") != wanted:
            message = f"jang_config.json: weight_format is {jang.get('weight_format')!r}, the tensors are {wanted}"
            yield Diagnostic("V128", message, where, f"set it to {wanted!r}")
    if mxtq != (config.get("weight_format") == "mxtq"):
        message = f"config.json: weight_format is {config.get('weight_format')!r}, MXTQ tensors: {mxtq}"
        yield Diagnostic(
            "V128", message, Where(str(view.root / "config.json"), subject="weight_format"), "it selects the loader"
        )
    if mxtq != (view.root / "jangtq_runtime.safetensors").exists():
        message = (
            "the sidecar jangtq_runtime.safetensors is missing" if mxtq else "a sidecar beside a bundle without MXTQ"
        )
        yield Diagnostic("V129", message, Where(str(view.root)), "its presence alone selects the MXTQ loader")
    if not (view.root / "encoding" / "encoding_dsv4.py").is_file():
        message = "encoding/encoding_dsv4.py is missing: vMLX cannot build prompts and refuses the bundle"
        yield Diagnostic("V131", message, Where(str(view.root)), "copy the source's encoding folder")
