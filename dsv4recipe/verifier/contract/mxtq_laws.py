"""Floor 4, verifier. Checks MXTQ tensors, their widths, seed and sidecar against the contract. Reads headers, one
number per `tq_bits`, and the sidecar's few kilobytes.

Source: docs/reference/runtimes.md, "MXTQ tensors" and "JANG companions".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod
from typing import Any

from dsv4recipe.bundle.view import BundleView
from dsv4recipe.errors import Diagnostic, RecipeError, Where
from dsv4recipe.formats.mxtq.spec import BITS
from dsv4recipe.headers.safetensors import TensorEntry, read_header
from dsv4recipe.runtimes import Target
from dsv4recipe.runtimes.vmlx import sidecar as vmlx_sidecar
from dsv4recipe.verifier.contract.picture import Picture, SeenModule

Findings = Iterator[Diagnostic]
_SEED = 42  # every loader uses this if nothing is written


def _mxtq(picture: Picture) -> list[SeenModule]:
    return [module for module in picture.modules.values() if module.packed_mxtq]


def _implied(module: SeenModule, parts: Mapping[str, TensorEntry]) -> int:
    """Returns the width that the packed columns imply; 0 if they fit no width of MXTQ."""
    words, width = parts[".tq_packed"].shape[-1:], module.shape[-1]
    return next((bits for bits in BITS if words == (width * bits // 32,)), 0)


def tensors(view: BundleView, picture: Picture, target: Target) -> Findings:
    """Yields V137 unless the dtypes are right and `tq_bits` exists and equals the width of the packed columns."""
    wanted = {".tq_packed": "U32", ".tq_norms": "F16"}
    numbers = _tq_bits(view, picture)
    for module in _mxtq(picture):
        bits_dtype = "I32" if module.per_expert else "U8"
        for stem, parts in module.stems.items():
            where = Where(str(view.root / view.shard_of[stem + next(iter(parts))]), subject=stem)
            for suffix, dtype in {**wanted, ".tq_bits": bits_dtype}.items():
                if suffix in parts and parts[suffix].dtype != dtype:
                    message = f"{stem}{suffix} is {parts[suffix].dtype}, but MXTQ stores it as {dtype}"
                    yield Diagnostic("V137", message, where, "no known loader accepts another type")
            if ".tq_packed" not in parts:
                continue
            implied = _implied(module, parts)
            if not implied:
                message = (
                    f"{stem}.tq_packed: {list(parts['.tq_packed'].shape)} words hold neither {BITS[0]} nor {BITS[1]} "
                    f"bits for each of {module.shape[-1]} inputs"
                )
                yield Diagnostic("V137", message, where, "build the bundle again")
            elif ".tq_bits" not in parts:
                message = f"{stem}.tq_bits is missing, so the loader cannot know the width"
                yield Diagnostic("V137", message, where, f"it should say {implied}")
            elif numbers.get(stem, implied) != implied:
                message = f"{stem}.tq_bits says {numbers[stem]}, but the packed columns hold {implied} bits per weight"
                yield Diagnostic("V137", message, where, "correct it, because the loader would unpack wrong codes")


def _tq_bits(view: BundleView, picture: Picture) -> dict[str, int]:
    """Returns stem → the value of its one-element integer `tq_bits`. Each shard is opened once."""
    files: dict[str, list[tuple[str, TensorEntry]]] = {}
    for module in _mxtq(picture):
        for stem, parts in module.stems.items():
            entry = parts.get(".tq_bits")
            if entry is not None and entry.dtype[0] in "UI" and prod(entry.shape) == 1:
                files.setdefault(view.shard_of[stem + ".tq_bits"], []).append((stem, entry))
    found = {}
    for name, listed in files.items():
        with (view.root / name).open("rb", buffering=0) as stream:
            for stem, entry in listed:
                stream.seek(entry.start)
                found[stem] = int.from_bytes(stream.read(entry.nbytes), "little", signed=entry.dtype[0] == "I")
    return found


def announced_seed(view: BundleView, picture: Picture, target: Target) -> Findings:
    """Yields V139 unless both files have the same whole number. jang reads only jang_config.json, vMLX also
    config.json."""
    if not _mxtq(picture):
        return
    jang, config = (view.json.get(name, {}).get("mxtq_seed", _SEED) for name in ("jang_config.json", "config.json"))
    where = Where(str(view.root / "jang_config.json"), subject="mxtq_seed")
    if type(jang) is not int or jang < 0:
        yield Diagnostic(
            "V139", f"mxtq_seed is {jang!r}, but a seed must be a whole number", where, f"most bundles have {_SEED}"
        )
    elif jang != config:
        message = f"jang_config.json has mxtq_seed {jang!r}, but config.json {config!r} (a missing one means {_SEED})"
        yield Diagnostic(
            "V139", message, where, "make them equal, because with a wrong seed every expert decodes to noise"
        )


def _asked(view: BundleView, picture: Picture) -> set[vmlx_sidecar.Use]:
    seed = view.json.get("jang_config.json", {}).get("mxtq_seed", _SEED)
    seed = seed if type(seed) is int and seed >= 0 else _SEED
    stored = [(m, parts) for m in _mxtq(picture) for parts in m.stems.values() if ".tq_packed" in parts]
    pairs = {(module.shape[-1], _implied(module, parts)) for module, parts in stored}
    return {(width, bits, seed) for width, bits in pairs if bits}


def sidecar(view: BundleView, picture: Picture, target: Target) -> Findings:
    """Yields V136 unless the sidecar holds the exact signs and codebook for every width and seed in use."""
    path = view.root / vmlx_sidecar.NAME
    asked = _asked(view, picture)
    if not asked or not path.is_file():
        return
    try:
        header = read_header(path, vmlx_sidecar.NAME)
    except RecipeError as error:
        for found in error.diagnostics:
            yield Diagnostic("V136", f"{vmlx_sidecar.NAME} cannot be read: {found.message}", Where(str(path)))
        return
    stored = {entry.name: entry for entry in header.tensors}
    hint = "build the bundle again, because the Swift runtime reads signs and codebooks only from this file"
    for wanted in vmlx_sidecar.entries(asked):
        name, dtype, shape = wanted
        entry = stored.get(name)
        where = Where(str(path), subject=name)
        if entry is None:
            yield Diagnostic("V136", f"the sidecar has no {name}, which the MXTQ tensors need", where, hint)
        elif (entry.dtype, entry.shape) != (dtype, shape):
            message = f"{name} is {entry.dtype} {list(entry.shape)}, but it should be {dtype} {list(shape)}"
            yield Diagnostic("V136", message, where, hint)
        else:
            with path.open("rb") as stream:
                stream.seek(entry.start)
                same = stream.read(entry.nbytes) == vmlx_sidecar.values(wanted)
            if not same:
                message = f"{name} differs from the codec's values, so every expert would decode to noise"
                yield Diagnostic("V136", message, where, hint)


def layer_widths(view: BundleView, picture: Picture, target: Target) -> Findings:
    """Yields V138 unless both files state the widths that vMLX's audit finds, which looks only at whole layers."""
    found: dict[int, set[int]] = {}
    for module in _mxtq(picture):
        if module.slot.block == "main" and module.slot.layer is not None:
            found.setdefault(module.slot.layer, set()).add(_implied(module, module.parts))
    if not found:
        return
    default, said = _announced_widths(view)
    where = Where(str(view.root / "jang_config.json"), subject="routed_layer_bits")
    others = _other_projections(picture)
    for layer in sorted(found):
        stored = found[layer]
        if layer in others:
            message = f"layer {layer}: its experts are MXTQ, but not those of {' and '.join(sorted(others[layer]))}"
            hint = "use MXTQ in all or none of a layer's projections; it loads, but vMLX's release audit refuses it"
            yield Diagnostic("V138", message, where, hint, "warning")
        if len(stored) > 1:
            message = f"layer {layer} has MXTQ projections of {' and '.join(map(str, sorted(stored)))} bits"
            hint = "use one width in the layer; the bundle loads, but vMLX's release audit refuses it"
            yield Diagnostic("V138", message, where, hint, "warning")
            continue
        bits = next(iter(stored))
        told = said.get(str(layer), default)
        if told != bits:
            how = "routed_layer_bits says" if str(layer) in said else "routed_layer_bits leaves it at"
            message = f"layer {layer}: its experts have {bits} bits, {how} {told!r}"
            yield Diagnostic("V138", message, where, f"write routed_layer_bits {{{layer}: {bits}}}")
    for layer_name in sorted(set(said) - {str(layer) for layer in found}):
        message = f"routed_layer_bits names layer {layer_name}, which has no MXTQ experts"
        yield Diagnostic("V138", message, where, "remove the entry")


def _other_projections(picture: Picture) -> dict[int, set[str]]:
    """Returns layer → the projections of its routed experts that are not MXTQ, for layers that have some."""
    found: dict[int, set[str]] = {}
    for module in picture.modules.values():
        slot = module.slot
        other = slot.row.role == "routed-expert" and module.stems and not module.packed_mxtq
        if other and slot.block == "main" and slot.layer is not None:
            found.setdefault(slot.layer, set()).add(slot.row.projection)
    return found


def _announced_widths(view: BundleView) -> tuple[Any, Mapping[str, Any]]:
    """Returns (default width, {layer: width}) from the places that vMLX reads, in its order."""
    jang, config = (view.json.get(name, {}) for name in ("jang_config.json", "config.json"))
    defaults = [
        _at(jang, "mxtq_bits", "routed_expert"),
        _at(jang, "quantization", "routed_experts", "bits"),
        _at(config, "mxtq_bits", "routed_expert"),
        _at(config, "quantization", "routed_expert_bits"),
    ]
    layers = [
        _at(jang, "quantization", "routed_experts", "bit_plan", "routed_layer_bits"),
        _at(jang, "routed_layer_bits"),
        _at(config, "quantization", "routed_expert_bit_plan", "routed_layer_bits"),
        _at(config, "routed_layer_bits"),
    ]
    said = next((entry for entry in layers if isinstance(entry, dict) and entry), {})
    return next((entry for entry in defaults if entry is not None), BITS[0]), said


def _at(data: Any, *keys: str) -> Any:
    for key in keys:
        data = data.get(key) if isinstance(data, dict) else None
    return data
