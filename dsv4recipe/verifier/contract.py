"""Floor 4, verifier. Step 2: what the runtime would see, from headers and JSON alone, in seconds. Reads headers.

One function per law; each finding says what, where, what the user would see, and the mend.
Source: fact sheets vmlx.md sections 1 and 6, mlx.md sections 1.2 and 5.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from dsv4recipe.bundle.view import BundleView, open_bundle
from dsv4recipe.checkpoint.graph import detect_family
from dsv4recipe.errors import Diagnostic, RecipeError, Where
from dsv4recipe.targets import Target
from dsv4recipe.units import counted
from dsv4recipe.verifier import config_laws, jang_laws, mxtq_laws, tensor_laws
from dsv4recipe.verifier.result import Step
from dsv4recipe.verifier.seen import Picture, look

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
    config_laws.quantization_present,
    config_laws.every_override_hits,
    config_laws.every_width_right,
    config_laws.known_widths,
    config_laws.gate_and_up_alike,
    config_laws.stop_tokens,
    config_laws.config_keys,
)
"""What every runtime asks."""

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
"""What `Target.laws` names."""


def check_contract(bundle: Path, target: Target) -> Step:
    """All laws of a target over a bundle. Raises nothing: what cannot even be opened is a finding."""
    try:
        view, findings = open_bundle(bundle)
        family = detect_family(dict(view.config), str(bundle / "config.json"))
        picture = look(view, family, target)
    except RecipeError as error:
        return Step("contract", error.diagnostics)
    for law in (*LAWS, *(law for name in target.laws for law in MORE_LAWS[name])):
        findings += law(view, picture, target)
    quantized = sum(module.quantized for module in picture.modules.values())
    facts = (
        f"{len(view.shard_of):,} tensors in {counted(len(view.shards), 'shard')} over {len(picture.modules):,} modules "
        f"of {target.name}, {quantized:,} of them quantized",
    )
    return Step("contract", tuple(_grouped(findings)), facts)


def _grouped(findings: list[Diagnostic], shown: int = 12) -> Iterator[Diagnostic]:
    """At most `shown` findings of a code and severity, then how many more there are."""
    counts: Counter[tuple[str, str]] = Counter()
    for finding in findings:
        kind = (finding.code, finding.severity)
        counts[kind] += 1
        if counts[kind] <= shown:
            yield finding
    for (code, severity), count in counts.items():
        if count > shown:
            yield Diagnostic(code, f"and {count - shown:,} more findings {code}", Where(), severity=severity)
