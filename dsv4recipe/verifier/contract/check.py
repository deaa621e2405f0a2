"""Floor 4, verifier. Step 2: checks what the runtime would see, from headers and JSON alone, in seconds. Reads headers,
and integer tables whose values index something.

There is one function per law. Each finding says what is wrong, where, what a user of the runtime sees, and what to do.
docs/reference/runtimes.md is the source of the laws.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from dsv4recipe.bundle.manifest import read_manifest
from dsv4recipe.bundle.observe import observe
from dsv4recipe.bundle.open import open_bundle
from dsv4recipe.bundle.view import BundleView
from dsv4recipe.checkpoint.family import Family
from dsv4recipe.checkpoint.graph import detect_family
from dsv4recipe.errors import Diagnostic, RecipeError, Where
from dsv4recipe.runtimes import Target, get, loaders, targets
from dsv4recipe.units import counted
from dsv4recipe.verifier.contract import config_laws, index_laws, jang_laws, label_laws, mxtq_laws, tensor_laws
from dsv4recipe.verifier.contract.gguf_laws import gguf_findings, look_at_gguf
from dsv4recipe.verifier.contract.picture import Picture, look
from dsv4recipe.verifier.contract.replay.outlook import LOADS, UNKNOWN, Outlook
from dsv4recipe.verifier.contract.replay.replay import outlooks
from dsv4recipe.verifier.result import Contract, Step
from dsv4recipe.verifier.sees import told

Law = Callable[[BundleView, Picture, Target], Iterator[Diagnostic]]

LAWS: tuple[Law, ...] = (
    tensor_laws.no_stray_shards,
    tensor_laws.nothing_ignored,
    tensor_laws.nothing_missing,
    tensor_laws.experts_complete,
    tensor_laws.shapes,
    tensor_laws.control_dtypes,
    tensor_laws.half_types,
    tensor_laws.one_half_type,
    index_laws.numbers_in_range,
    index_laws.tokens_in_range,
    config_laws.quantization_present,
    config_laws.every_override_hits,
    config_laws.every_width_right,
    config_laws.known_widths,
    config_laws.gate_and_up_alike,
    config_laws.stop_tokens,
    config_laws.config_keys,
    label_laws.widths_named,
    label_laws.mtp_said,
)
"""Laws that hold for every runtime."""

MORE_LAWS: Mapping[str, tuple[Law, ...]] = {
    "jang": (
        jang_laws.experts_together,
        jang_laws.aligned,
        jang_laws.first_shard,
        jang_laws.companions,
        jang_laws.disk_entries,
        jang_laws.stop_ids,
        jang_laws.clamped_swiglu,
        jang_laws.no_absolute_path,
        mxtq_laws.tensors,
        mxtq_laws.announced_seed,
        mxtq_laws.sidecar,
        mxtq_laws.layer_widths,
    ),
}
"""Laws that `Target.laws` names."""


def check_contract(bundle: Path, target: Target) -> Step:
    """Checks all laws of a target over a bundle. Raises nothing: a bundle that cannot be opened is a finding."""
    try:
        view, findings = open_bundle(bundle)
        family = _family(view)
        return _held(view, family, findings, target, _outlooks(view, family))
    except RecipeError as error:
        return Step("contract", tuple(told(error.diagnostics)))


def check_any(bundle: Path) -> Contract:
    """Checks a bundle against the runtime that it is for, and replays every known loader.

    The manifest names the runtime. Without a manifest it is the one whose names the tensors have. If several match
    alike, it is the one whose laws the bundle breaks least; the outlooks hold the others' verdicts.
    """
    try:
        view, findings = open_bundle(bundle)
        names, fact = _runtimes(view)
        family = _family(view)
        seen = _outlooks(view, family)
        held = [_held(view, family, findings, get(name, family.name), seen) for name in names]
    except RecipeError as error:
        return Contract(Step("contract", tuple(told(error.diagnostics))))
    best = min(held, key=lambda step: sum(finding.severity == "error" for finding in step.findings))
    return Contract(Step("contract", best.findings, (*best.facts, *fact)), names, seen)


def _runtimes(view: BundleView) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Returns the targets that a bundle is for and, without a manifest, how that is known."""
    recipe = (read_manifest(view.root) or {}).get("recipe")
    target = recipe.get("target") if isinstance(recipe, dict) else None
    named = str(target.get("runtime")) if isinstance(target, dict) else ""
    if named in {target.name for target in targets()}:
        return (named,), ()
    seen = observe(view)
    words = " and ".join(filter(None, (", ".join(seen.runtimes[:-1]), seen.runtimes[-1])))
    if seen.misnamed:
        return seen.runtimes, (
            f"no known runtime has all of its names; the nearest is {words} ({seen.misnamed:,} differ)",
        )
    return seen.runtimes, (f"its names are those of {words}",)


def _family(view: BundleView) -> Family:
    return detect_family(dict(view.config), str(view.root / "config.json"))


def _held(
    view: BundleView, family: Family, opening: list[Diagnostic], target: Target, seen: tuple[Outlook, ...]
) -> Step:
    """Checks a bundle against one target, with the laws for its container."""
    return STRUCTURES[target.container](view, family, opening, target, seen)


def _held_folder(
    view: BundleView, family: Family, opening: list[Diagnostic], target: Target, seen: tuple[Outlook, ...]
) -> Step:
    picture = look(view, family, target)
    findings = list(opening)
    for law in (*LAWS, *(law for name in target.laws for law in MORE_LAWS[name])):
        findings += law(view, picture, target)
    if not any(finding.severity == "error" for finding in findings):
        findings += _unloadable(view, family, seen, target)
    quantized = sum(module.quantized for module in picture.modules.values())
    facts = (
        f"{len(view.shard_of):,} tensors in {counted(len(view.shards), 'shard')} over {len(picture.modules):,} modules "
        f"of {target.name}, {quantized:,} of them quantized",
    )
    return Step("contract", tuple(_grouped(list(told(findings)))), facts)


def _unloadable(view: BundleView, family: Family, seen: tuple[Outlook, ...], target: Target) -> Iterator[Diagnostic]:
    """Yields a loader of the bundle's own runtime that would fail although no law is broken."""
    serving = {(loader.name, loader.version) for loader in loaders(family.name) if target.name in loader.serves}
    for outlook in seen:
        if (outlook.loader, outlook.version) in serving and outlook.verdict not in (LOADS, UNKNOWN):
            message = f"{outlook.loader} ({outlook.version}): {outlook.verdict}: {'; '.join(outlook.why)}"
            yield Diagnostic("V143", message, Where(str(view.root)), "build the bundle again for this runtime")


def _outlooks(view: BundleView, family: Family) -> tuple[Outlook, ...]:
    """Returns what every known loader would make of the bundle; loaders of GGUF files are not replayed."""
    return () if view.values else outlooks(view, family)


def _held_gguf(view: BundleView, family: Family, _: list[Diagnostic], target: Target, __: tuple[Outlook, ...]) -> Step:
    picture = look_at_gguf(view, family, target)
    engine = "" if target.engine is None else f" {target.engine.version}"
    fact = f"{len(picture.entries):,} tensors and {len(picture.pairs):,} keys, compared with {target.name}{engine}"
    return Step("contract", tuple(_grouped(list(told(gguf_findings(picture, target))))), (fact,))


STRUCTURES: Mapping[str, Callable[[BundleView, Family, list[Diagnostic], Target, tuple[Outlook, ...]], Step]] = {
    "safetensors": _held_folder,
    "gguf": _held_gguf,
}
"""The check of each container: view, family, what opening found, target and outlooks of loaders → step."""


def _grouped(findings: list[Diagnostic], shown: int = 12) -> Iterator[Diagnostic]:
    """Yields at most `shown` findings of a code and severity, then how many more there are."""
    counts: Counter[tuple[str, str]] = Counter()
    for finding in findings:
        kind = (finding.code, finding.severity)
        counts[kind] += 1
        if counts[kind] <= shown:
            yield finding
    for (code, severity), count in counts.items():
        if count > shown:
            yield Diagnostic(code, f"there are {count - shown:,} more findings {code}", Where(), severity=severity)
