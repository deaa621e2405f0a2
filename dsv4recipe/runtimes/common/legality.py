"""Floor 2, runtimes. Reports what a runtime cannot accept, with one check per law and data from the target. This module
is pure.

The source of the laws is docs/reference/runtimes.md.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from dsv4recipe.checkpoint.dims import Dims, text_section
from dsv4recipe.checkpoint.graph import Checkpoint, Group
from dsv4recipe.errors import Problems, Where
from dsv4recipe.formats.base import HALF_DTYPES
from dsv4recipe.recipe.model import Recipe
from dsv4recipe.runtimes import running
from dsv4recipe.runtimes.common.target import Claim, Target


def check_family(recipe: Recipe, family: str, problems: Problems) -> None:
    """Checks that the recipe is written for the checkpoint's family."""
    if family not in recipe.source.family:
        message = f"the recipe is for family {' and '.join(recipe.source.family)}, the checkpoint is {family}"
        hint = "choose a recipe for this family, or add it to source.family"
        problems.error("T002", message, recipe.place("source.family"), hint)


def check_source(target: Target, recipe: Recipe, checkpoint: Checkpoint, problems: Problems) -> None:
    """The checkpoint against the runtime: parts that it cannot do without, and cannot run. And prediction stages that
    config.json announces, the recipe keeps, and no shard holds."""
    announced = text_section(checkpoint.config).get("num_nextn_predict_layers")
    removed = len(checkpoint.dims.ratios) > checkpoint.dims.layers and not checkpoint.dims.stages
    if recipe.target.mtp == "keep" and announced and removed:
        message = f"config.json announces {announced} MTP layer(s), but the checkpoint holds no tensor of one"
        hint = "write `mtp: drop` in the recipe, or set num_nextn_predict_layers to 0 in config.json"
        problems.error("T019", message, recipe.place("target.mtp"), hint)
    _check_stages(target, recipe, checkpoint, problems)
    for beginning, reason in target.refuses.items():
        found = [group for group in checkpoint.groups if group.slot.row.pattern.startswith(beginning)]
        if found:
            others = ", ".join(
                name for name, other in running(checkpoint.family.name).items() if beginning not in other.refuses
            )
            hint = f"use a runtime that has it: {others}" if others else ""
            notes = tuple(group.names for group in found)
            message = f"{target.name} cannot run this checkpoint: {reason}"
            problems.error("T007", message, recipe.place("target.runtime"), hint, notes)


def _check_stages(target: Target, recipe: Recipe, checkpoint: Checkpoint, problems: Problems) -> None:
    """T008: kept MTP stages with another number of experts than runtimes build them with, as where the layers
    alone were pruned."""
    dims = checkpoint.dims
    said = checkpoint.family.dims_of(checkpoint.config, "config.json").mtp_experts
    if recipe.target.mtp != "keep" or not dims.stages or dims.mtp_experts == said:
        return
    message = (
        f"the MTP stages hold {dims.mtp_experts} experts and the layers {dims.experts}, and {target.name} builds the "
        f"stages with {said}, by config.json"
    )
    hint = "write `mtp: drop`"
    if dims.dspark:
        hint += f", or set dspark_n_routed_experts to {dims.mtp_experts} in config.json"
    problems.error("T008", message, recipe.place("target.mtp"), hint)


def check_layout(target: Target, recipe: Recipe, dims: Dims, problems: Problems) -> None:
    """Checks the recipe's target section against the runtime."""
    asked, name = recipe.target, target.name
    if asked.experts not in target.expert_layouts:
        hint = f"write `experts: {target.expert_layouts[0]}`"
        problems.error("T004", f"{name} cannot load {asked.experts} experts", recipe.place("target.experts"), hint)
    if asked.half not in target.halves:
        hint = f"write `half: {target.halves[0]}`"
        problems.error("T005", f"{name} does not accept half: {asked.half}", recipe.place("target.half"), hint)
    if asked.mtp not in target.mtp:
        hint = f"write `mtp: {target.mtp[0]}`"
        problems.error("T006", f"{name} loads no MTP stage from its main bundle", recipe.place("target.mtp"), hint)
    kind = dims.stage
    if asked.mtp == "keep" and asked.mtp in target.mtp and dims.stages and kind not in target.stages:
        message = f"{name} runs {' and '.join(target.stages)} MTP stages; those of this checkpoint are {kind}"
        problems.error("T006", message, recipe.place("target.mtp"), "write `mtp: drop`")


def check_claims(target: Target, recipe: Recipe, claims: Sequence[Claim], problems: Problems) -> None:
    """Checks every claim, and every pair of projections that the runtime ties."""
    told: set[tuple[str, str]] = set()
    _check_absent(target, claims, problems)
    for claim in claims:
        if target.absent(claim.group.slot):
            continue
        for code, reason, hint in _reasons(target, recipe, claim):
            if (claim.rule.id, reason) in told:
                continue
            told.add((claim.rule.id, reason))
            where = claim.rule.place("format" if "format" in dict(claim.rule.fields) else "keep")
            problems.error(
                code, f"rule '{claim.rule.id}': {reason}", where, hint, notes=(f"the first is {claim.group.names}",)
            )
    if target.tied_error:
        _check_tied(target, claims, problems)
    _check_seeds(claims, problems)


def _reasons(target: Target, recipe: Recipe, claim: Claim) -> list[tuple[str, str, str]]:
    group, fmt = claim.group, claim.format
    role, half = group.slot.row.role, recipe.target.half
    found = []
    if problem := group.problem(fmt):
        found.append(("T010", problem, "choose a group size or format that fits, or another rule for this tensor"))
    allowed = target.runs.get(role, target.runs[""])
    if fmt.kind not in allowed:
        found.append(
            ("T011", f"{target.name} cannot run {fmt.kind} for {role}", f"{role} may be: {', '.join(allowed)}")
        )
    if dtype := fmt.plain_dtype:
        if role in target.float32_roles and dtype != "F32":
            hint = "write keep: source, which makes it exactly float32"
            found.append(("T012", f"{target.name} needs {role} in float32, but the rule makes it {dtype}", hint))
        elif dtype in HALF_DTYPES.values() and dtype != HALF_DTYPES[half]:
            found.append(
                ("T013", f"{dtype} beside half: {half} makes two half types in one bundle", f"use keep: {half}")
            )
        coded = [each for each in (group.source, *(other for _, other in group.others)) if each.stored in _EXACT]
        if any(dtype == each.dtype for each in coded):
            found.append(("T014", f"{target.name} does not load {coded[0].stored} as stored", _EXACT[coded[0].stored]))
    if fmt.scales_type not in ("", half):
        hint = f"remove `scales`, because it follows target.half ({half})"
        found.append(
            ("T013", f"scales: {fmt.scales_type} and half: {half} would give one bundle two float types", hint)
        )
    return found


_EXACT = {
    "fp4": "`format: {mxfp4: {}}` copies the bits exactly, where the runtime runs it; or `keep: float32`",
    "fp8": "`format: {mxfp8: {}}` copies the bits exactly, where the runtime runs it; or an 8-bit affine format",
}


def _check_absent(target: Target, claims: Sequence[Claim], problems: Problems) -> None:
    """Checks that nothing is kept without a module in the runtime; gives one finding per rule."""
    kept: dict[str, list[Claim]] = defaultdict(list)
    for claim in claims:
        if target.absent(claim.group.slot):
            kept[claim.rule.id].append(claim)
    for name, found in kept.items():
        patterns = [claim.group.slot.row.pattern for claim in found]
        matches = dict.fromkeys(m for b, m in target.lacks.items() if any(p.startswith(b) for p in patterns))
        message = f"rule '{name}' keeps {len(found):,} tensors that {target.name} has no module for and does not load"
        hint = f"drop them with rules before it, with `drop: true` for `match: {'` and `match: '.join(matches)}`"
        place = found[0].rule.where
        problems.error("T017", message, place, hint, notes=tuple(claim.group.names for claim in found))


def check_dropped(target: Target, claims: Sequence[Claim], groups: Sequence[Group], problems: Problems) -> None:
    """Of a block of which something is kept, everything is that the runtime has a module for. What becomes of a GGUF
    is `check_engine`'s to say."""
    if target.engine is not None:
        return
    blocks = {claim.group.slot.block for claim in claims} | {"main"}
    kept = {claim.group.stem for claim in claims}
    lost = [
        group
        for group in groups
        if group.stem not in kept
        and group.slot.block in blocks
        and not target.absent(group.slot)
        and not target.skipped(group.slot)
    ]
    for block in dict.fromkeys(group.slot.block for group in lost):
        names = [group.names for group in lost if group.slot.block == block]
        message = f"{sum(len(g.members) for g in lost if g.slot.block == block):,} tensors are dropped that "
        message += f"{target.name} needs; it would run their modules on random weights or fail"
        hint = "write a format or `keep: source` for them" + (
            "; or drop all MTP stages: `mtp: drop`" * (block == "mtp")
        )
        problems.error("T018", message, Where(), hint, notes=names)


def _check_tied(target: Target, claims: Sequence[Claim], problems: Problems) -> None:
    pairs: dict[tuple[str, int | None], dict[str, Claim]] = defaultdict(dict)
    for claim in claims:
        slot = claim.group.slot
        if slot.row.role == "routed-expert" and slot.row.projection in target.tied:
            pairs[slot.block, slot.layer][slot.row.projection] = claim
    torn = [pair for pair in pairs.values() if len({claim.format for claim in pair.values()}) > 1]
    for pair in torn[:1]:
        first, second = pair.values()
        layers = ", ".join(str(next(iter(p.values())).group.slot.layer) for p in torn)
        message = (
            f"{target.name} fuses gate and up of a layer, but rule '{first.rule.id}' makes gate {first.format.spec()} "
            f"and rule '{second.rule.id}' makes up {second.format.spec()}"
        )
        problems.error("T015", message, second.rule.where, "use one format for both", notes=(f"layers {layers}",))


def _check_seeds(claims: Sequence[Claim], problems: Problems) -> None:
    """Checks that all MXTQ tensors, also of MTP stages, have one seed, because a bundle has one `mxtq_seed`."""
    first: dict[int, Claim] = {}
    for claim in claims:
        if (seed := claim.format.bundle_seed) is not None:
            first.setdefault(seed, claim)
    if len(first) > 1:
        (seed, one), (other, two) = list(first.items())[:2]
        message = (
            f"rule '{one.rule.id}' writes MXTQ with seed {seed}, rule '{two.rule.id}' with seed {other}: "
            "a bundle has one seed"
        )
        problems.error("T016", message, two.rule.place("format"), "use the same seed for all MXTQ formats")
