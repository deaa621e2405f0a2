"""Floor 4, verifier. Checks tensors against the contract: names, completeness, shapes, dtypes. This module is pure.

The source of the laws is docs/reference/runtimes.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod

from dsv4recipe.bundle.view import BundleView
from dsv4recipe.checkpoint.dims import text_section
from dsv4recipe.errors import Diagnostic, Where
from dsv4recipe.headers.safetensors import TensorEntry
from dsv4recipe.paths import left_by_tools
from dsv4recipe.runtimes import Target
from dsv4recipe.runtimes.vmlx import sidecar as vmlx_sidecar
from dsv4recipe.verifier.contract.picture import Picture, SeenModule

Findings = Iterator[Diagnostic]


def no_stray_shards(view: BundleView, picture: Picture, target: Target) -> Findings:
    """Yields V135 for files beside the shards, because mlx-lm and jang load any `model*.safetensors`."""
    known = {header.file for header in view.shards} | {vmlx_sidecar.NAME}
    for path in sorted(view.root.glob("*.safetensors")):
        if path.name not in known and not left_by_tools(path.name):
            message = f"{path.name} is not a shard of this bundle, but loaders that glob would silently merge it"
            yield Diagnostic("V135", message, Where(str(path)), "move it out of the folder")


def nothing_ignored(view: BundleView, picture: Picture, target: Target) -> Findings:
    """Yields V101 for disk names that the runtime maps to no module."""
    slot = next(module.slot for module in picture.modules.values() if module.slot.row.projection == "wq_a")
    example = target.disk_stem(slot, target.expert_layouts[0])
    for stem in picture.strangers:
        where = Where(str(view.root), subject=stem)
        hint = f"{target.name} expects names for this model's config.json such as {example}"
        message = f"{stem}: no module of {target.name} takes this tensor, so it would be silently ignored"
        yield Diagnostic("V101", message, where, hint)


def nothing_missing(view: BundleView, picture: Picture, target: Target) -> Findings:
    """Yields V102 for modules that the config requires and that are missing. A whole MTP block may be absent."""
    has_mtp = any(module.stems for module in picture.modules.values() if module.slot.block == "mtp")
    for module in picture.modules.values():
        if module.stems or target.skipped(module.slot) or (module.slot.block == "mtp" and not has_mtp):
            continue
        message = f"{module.name} is not in the bundle; {target.name} would run it on random weights"
        yield Diagnostic("V102", message, Where(str(view.root), subject=module.name), "build the bundle again")
    announced = text_section(view.config).get("num_nextn_predict_layers")
    if announced and not has_mtp:
        message = f"config.json announces {announced} MTP layer(s), but the bundle holds none"
        where = Where(str(view.root / "config.json"), subject="num_nextn_predict_layers")
        yield Diagnostic("V103", message, where, "set it to 0, or keep the MTP tensors")


def experts_complete(view: BundleView, picture: Picture, target: Target) -> Findings:
    """Yields V104 unless experts that are stored one by one are complete and alike."""
    for module in picture.modules.values():
        if not (module.per_expert and module.stems):
            continue
        where = Where(str(view.root), subject=module.name)
        if len(module.stems) != module.experts:
            message = f"{module.name}: {len(module.stems)} of {module.experts} experts are stored"
            yield Diagnostic("V104", message, where, "build the bundle again")
        shapes = {tuple((s, e.dtype, e.shape) for s, e in sorted(parts.items())) for parts in module.stems.values()}
        if len(shapes) > 1:
            message = f"{module.name}: its experts are not stored alike, so they cannot be stacked"
            yield Diagnostic("V104", message, where, "use one format for all experts of a projection")


def shapes(view: BundleView, picture: Picture, target: Target) -> Findings:
    """Yields V106 unless plain tensors have the config's shape and packed ones the right rows and experts."""
    for module in picture.modules.values():
        lead = (module.experts,) if module.experts and not module.per_expert else ()
        for stem, parts in module.stems.items():
            for suffix, entry in parts.items():
                problem = _misshapen(module, lead, suffix, entry.shape)
                if problem:
                    where = Where(str(view.root / view.shard_of[stem + suffix]), subject=stem + suffix)
                    yield Diagnostic("V106", f"{stem}{suffix} has shape {list(entry.shape)}, but {problem}", where)
            missing = _missing_parts(parts)
            if missing:
                where = Where(str(view.root), subject=stem)
                yield Diagnostic("V102", f"{stem}: {missing} is missing; the module cannot be loaded", where)


def _misshapen(module: SeenModule, lead: tuple[int, ...], suffix: str, shape: tuple[int, ...]) -> str:
    if suffix == ".tq_bits":
        return "" if prod(shape) == 1 else "one number is expected"
    rows = module.shape[:-1] if suffix != ".tq_norms" else module.shape
    plain = suffix == "" or (suffix == ".weight" and not module.quantized)
    if plain:
        whole, split = lead + module.shape, _split(module)
        return "" if shape in (whole, split) else f"the config requires {list(split or whole)}"
    split = _split(module)
    expected = split[:-1] if split and len(shape) == len(split) else lead + rows
    return "" if shape[: len(expected)] == expected[: len(shape)] else f"it should begin with {list(expected)}"


def _split(module: SeenModule) -> tuple[int, ...] | None:
    """Returns the shape with its rows in groups, if the runtime has them so. Its sanitizer also splits an unsplit
    tensor."""
    if not module.row_groups:
        return None
    rows, *rest = module.shape
    return (module.row_groups, rows // module.row_groups, *rest)


def _missing_parts(parts: Mapping[str, TensorEntry]) -> str:
    """Returns the suffix of a missing part without which the others mean nothing. Scales that are not U8 need
    biases."""
    needs = [(".scales", ".weight"), (".biases", ".scales"), (".tq_norms", ".tq_packed"), (".tq_packed", ".tq_norms")]
    if ".scales" in parts and parts[".scales"].dtype != "U8":
        needs.append((".scales", ".biases"))
    return next((other for one, other in needs if one in parts and other not in parts), "")


def control_dtypes(view: BundleView, picture: Picture, target: Target) -> Findings:
    """Yields V107 unless control tensors are F32 and hash tables integers."""
    for module in picture.modules.values():
        for stem, parts in module.stems.items():
            for suffix, entry in parts.items():
                where = Where(str(view.root), subject=stem + suffix)
                if module.slot.row.role in target.float32_roles and entry.dtype != "F32":
                    message = f"{stem}{suffix} is {entry.dtype}, but {target.name} needs control tensors in F32"
                    yield Diagnostic("V107", message, where, "write keep: source for this role")
                elif module.slot.row.role == "hash-table" and entry.dtype not in ("I64", "I32"):
                    message = f"{stem}{suffix} is {entry.dtype}, but a hash table must hold integers"
                    yield Diagnostic("V107", message, where, "write keep: source for this role")


def half_types(view: BundleView, picture: Picture, target: Target) -> Findings:
    """Yields V132 for half types that the runtime does not accept. Codes and norms of MXTQ have their own types."""
    refused = {"F16": "float16", "BF16": "bfloat16"}.items()
    for dtype, name in refused:
        if name in target.halves:
            continue
        odd = [
            stem + suffix
            for module in picture.modules.values()
            for stem, parts in module.stems.items()
            for suffix, entry in parts.items()
            if entry.dtype == dtype and suffix != ".tq_norms"
        ]
        if odd:
            message = (
                f"{len(odd):,} tensors are {dtype}, such as {odd[0]}, but {target.name} refuses {name} for this model"
            )
            hint = f"build with half: {target.halves[0]}"
            yield Diagnostic("V132", message, Where(str(view.root), subject=odd[0]), hint)


def one_half_type(view: BundleView, picture: Picture, target: Target) -> Findings:
    """Yields V108 unless scales, biases and half copies have one type; otherwise the residual stream becomes
    float32."""
    first: dict[str, str] = {}
    for module in picture.modules.values():
        if module.path is None:
            continue
        for stem, parts in module.stems.items():
            for suffix, entry in parts.items():
                if entry.dtype in ("F16", "BF16") and suffix != ".tq_norms":
                    first.setdefault(entry.dtype, stem + suffix)
    if len(first) > 1:
        examples = " and ".join(f"{name} ({dtype})" for dtype, name in sorted(first.items()))
        message = (
            f"there are two half types ({examples}), so the runtime would compute in float32 from the first layer on"
        )
        yield Diagnostic("V108", message, Where(str(view.root)), "use one target.half for the whole bundle")
