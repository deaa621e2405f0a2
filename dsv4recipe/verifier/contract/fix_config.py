"""Floor 4, verifier. The config.json that a bundle's tensors call for: its quantization right, the rest as it is.

Reads headers and config.json, writes nothing. Widths come from shapes, group sizes from scales, modes from dtypes; the
keys are those of every runtime whose names the tensors have. What headers cannot decide is refused, never guessed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dsv4recipe.bundle.observe import STRANGER, Observed, observe, quantization_of
from dsv4recipe.bundle.view import BundleView, open_bundle
from dsv4recipe.errors import Diagnostic, Problems, Where
from dsv4recipe.formats import Affine, Mxfp4, Mxfp8
from dsv4recipe.plan.overrides import quantization
from dsv4recipe.runtimes import running

_TWIN = "quantization_config"


@dataclass(frozen=True)
class Mended:
    """`config` is the whole new document; `changed` says per entry what became of it: (key, before, after), "" where
    there was none; `runtimes` those whose keys were written."""

    config: dict[str, Any]
    changed: tuple[tuple[str, str, str], ...]
    runtimes: tuple[str, ...]


def mend_config(bundle: Path) -> Mended:
    """The corrected config.json of a bundle whose tensors are right.

    Raises RecipeError V020 to V022 (no bundle, or one that cannot be opened), C010 or C011 (config.json of no known
    family), V150 with every reason why the tensors do not decide.
    """
    view, findings = open_bundle(bundle)
    problems = Problems([f for f in findings if f.code in ("V021", "V022", "V024") or f.code.startswith("C")])
    problems.raise_if_any()
    seen = observe(view)
    problems.found += _undecided(view, seen)
    problems.raise_if_any()
    section = _section(seen)
    config = dict(view.config)
    notes = _notes(config.get("quantization"))
    if section or notes:
        config["quantization"] = config[_TWIN] = section | notes
    else:
        config.pop("quantization", None)
        config.pop(_TWIN, None)
    return Mended(config, tuple(_changes(quantization_of(view.config), section)), seen.runtimes)


def _undecided(view: BundleView, seen: Observed) -> Iterator[Diagnostic]:
    where = Where(str(view.root))
    hint = "this is not a matter of config.json: verify says what is wrong with the tensors"
    for module in seen.plan.modules:
        if module.role == STRANGER:
            yield Diagnostic(
                "V150", f"{module.disk}: no runtime has a module for it, so no key can be right", where, hint
            )
        elif module.format.kind.startswith("unrecognised"):
            yield Diagnostic("V150", f"{module.disk}: {module.format.kind}: its width cannot be told", where, hint)
    if seen.misnamed:
        nearest = " or ".join(seen.runtimes)
        message = f"{seen.misnamed:,} tensors or modules have names of no one runtime ({nearest} is nearest)"
        yield Diagnostic("V150", message, where, "rename the tensors, or build the bundle for one runtime")


def _section(seen: Observed) -> dict[str, Any]:
    """The entries of all runtimes whose names fit. They describe the same modules, so none contradicts another."""
    slots = {group.names: group.slot for group in seen.checkpoint.groups}
    quantized = [m for m in seen.plan.modules if isinstance(m.format, Affine | Mxfp4 | Mxfp8)]
    found: dict[str, Any] = {}
    targets = running(seen.checkpoint.family.name)
    for target in (targets[name] for name in seen.runtimes):
        keys = {module.disk: target.keys(slots[module.sources]) for module in quantized}
        found = quantization(target, quantized, keys) | found
    return found


def _notes(section: Any) -> dict[str, Any]:
    """What a converter keeps in the section beside MLX's entries (MXTQ's widths)."""
    if not isinstance(section, Mapping):
        return {}
    ours = quantization_of({"quantization": section})
    entry = {"bits", "group_size", "mode"}
    return {k: v for k, v in section.items() if k not in ours and not (isinstance(v, dict) and entry & set(v))}


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    for key in sorted({*before, *after}):
        if before.get(key) != after.get(key):
            yield key, _words(before, key), _words(after, key)


def _words(section: Mapping[str, Any], key: str) -> str:
    if key not in section:
        return ""
    value = section[key]
    if not isinstance(value, Mapping):
        return str(value)
    return f"{value.get('mode', 'no mode')} {value.get('bits')}-bit g{value.get('group_size')}"
