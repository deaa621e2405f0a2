"""Floor 4, verifier. Makes the config.json that matches a bundle's tensors: it corrects only the quantization.

Reads headers and config.json, writes nothing. Widths come from shapes, group sizes from scales, modes from dtypes. The
keys are those of every runtime whose names the tensors have. What headers cannot decide is refused, never guessed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dsv4recipe.bundle.observe import STRANGER, Observed, observe, quantization_of
from dsv4recipe.bundle.open import open_bundle
from dsv4recipe.bundle.view import BundleView
from dsv4recipe.errors import Diagnostic, Problems, Where
from dsv4recipe.plan.overrides import quantization
from dsv4recipe.runtimes import running
from dsv4recipe.verifier.contract.config_laws import every_override_hits, every_width_right, quantization_present
from dsv4recipe.verifier.contract.picture import look

_TWIN = "quantization_config"


@dataclass(frozen=True)
class Mended:
    """The result. `config` is the whole new document. `changed` says for each entry what it became: (key, before,
    after), with "" for a missing one. `runtimes` are those whose keys were written."""

    config: dict[str, Any]
    changed: tuple[tuple[str, str, str], ...]
    runtimes: tuple[str, ...]


def mend_config(bundle: Path) -> Mended:
    """Returns the corrected config.json of a bundle whose tensors are right.

    Raises RecipeError V020 to V022 (no bundle, or one that cannot be opened), C010 or C011 (config.json of no known
    family), V150 with every reason why the tensors do not decide, or why the new config would still be wrong.
    """
    view, findings = open_bundle(bundle)
    problems = Problems([f for f in findings if f.code in ("V021", "V022", "V024") or f.code.startswith("C")])
    problems.raise_if_any()
    seen = observe(view)
    problems.found += _undecided(view, seen)
    problems.raise_if_any()
    keys, section = _section(seen)
    config = dict(view.config)
    notes = _notes(config.get("quantization"), keys)
    if section or notes:
        config["quantization"] = config[_TWIN] = section | notes
    else:
        config.pop("quantization", None)
        config.pop(_TWIN, None)
    problems.found += _still_wrong(view, config, seen)
    problems.raise_if_any()
    return Mended(config, tuple(_changes(view.config, config)), seen.runtimes)


def _still_wrong(view: BundleView, config: dict[str, Any], seen: Observed) -> Iterator[Diagnostic]:
    """Yields what the laws on entries would find in the new config, for every runtime whose keys it has."""
    mended = replace(view, json={**view.json, "config.json": config})
    targets = running(seen.checkpoint.family.name)
    for target in (targets[name] for name in seen.runtimes):
        picture = look(mended, seen.checkpoint.family, target)
        for law in (quantization_present, every_override_hits, every_width_right):
            for found in law(mended, picture, target):
                message = f"for {target.name} the new config would still be wrong: {found.message}"
                yield Diagnostic("V150", message, found.where, found.hint)


def _undecided(view: BundleView, seen: Observed) -> Iterator[Diagnostic]:
    where = Where(str(view.root))
    hint = "config.json is not the cause; run verify to see what is wrong with the tensors"
    for module in seen.plan.modules:
        if module.role == STRANGER:
            yield Diagnostic(
                "V150", f"{module.disk}: no runtime has a module for it, so no key can be right", where, hint
            )
        elif module.format.kind.startswith("unrecognised"):
            yield Diagnostic(
                "V150", f"{module.disk}: the width of {module.format.kind} cannot be determined", where, hint
            )
    if seen.misnamed:
        nearest = " or ".join(seen.runtimes)
        message = (
            f"{seen.misnamed:,} tensors or modules have names that do not match a single runtime ({nearest} is nearest)"
        )
        yield Diagnostic("V150", message, where, "rename the tensors, or build the bundle for one runtime")


def _section(seen: Observed) -> tuple[frozenset[str], dict[str, Any]]:
    """Returns every key and stem of a quantized module, and the entries of all runtimes whose names match.

    The entries describe the same modules, so none contradicts another.
    """
    slots = {group.names: group.slot for group in seen.checkpoint.groups}
    quantized = [m for m in seen.plan.modules if m.format.quantization() is not None]
    found: dict[str, Any] = {}
    known = {stem for module in quantized for stem in module.stems}
    targets = running(seen.checkpoint.family.name)
    for target in (targets[name] for name in seen.runtimes):
        keys = {module.disk: target.keys(slots[module.sources]) for module in quantized}
        known |= {key for group in keys.values() for key in group}
        found = quantization(target, quantized, keys) | found
    return frozenset(known), found


def _notes(section: Any, keys: Collection[str]) -> dict[str, Any]:
    """Returns what is kept of the section: a converter's notes (MXTQ's widths), and `false` for unquantized modules."""
    if not isinstance(section, Mapping):
        return {}
    ours = quantization_of({"quantization": section})
    entry = {"bits", "group_size", "mode"}
    return {
        key: value
        for key, value in section.items()
        if key not in ours and key not in keys and not (isinstance(value, dict) and entry & set(value))
    }


def _changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yields every changed entry of the section, and the second section if it differed."""
    before, after = (_as_section(config.get("quantization")) for config in (old, new))
    for key in sorted({*before, *after}):
        if key not in before or key not in after or before[key] != after[key]:
            yield key, _words(before, key), _words(after, key)
    if old.get(_TWIN) != new.get(_TWIN) and old.get(_TWIN) != old.get("quantization"):
        said = "absent" if old.get(_TWIN) is None else "different"
        yield _TWIN, said, "the same as quantization" if _TWIN in new else "absent"


def _as_section(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _words(section: Mapping[str, Any], key: str) -> str:
    if key not in section:
        return ""
    value = section[key]
    if not isinstance(value, Mapping):
        return str(value).lower() if isinstance(value, bool) else str(value)
    return f"{value.get('mode', 'no mode')} {value.get('bits')}-bit g{value.get('group_size')}"
