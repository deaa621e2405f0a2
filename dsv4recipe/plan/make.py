"""Floor 3, plan. Makes a plan from recipe and checkpoint. Reads the small files beside the shards, but no weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dsv4recipe.checkpoint.dims import Dims
from dsv4recipe.checkpoint.family import Slot
from dsv4recipe.checkpoint.graph import Checkpoint, Group
from dsv4recipe.checkpoint.releases import RELEASES, release_model
from dsv4recipe.errors import Problems, RecipeError
from dsv4recipe.formats import Part
from dsv4recipe.importance.planned import PlannedImportance
from dsv4recipe.plan.containers import CONTAINERS
from dsv4recipe.plan.model import Plan, PlannedModule, PlannedSource
from dsv4recipe.plan.overrides import quantization
from dsv4recipe.plan.provenance import check_pin, claimed, origin_of
from dsv4recipe.plan.resolve import resolve
from dsv4recipe.plan.weighed import check_importance
from dsv4recipe.recipe.model import Recipe
from dsv4recipe.recipe.show import recipe_data
from dsv4recipe.runtimes import Claim, Target, get
from dsv4recipe.runtimes.common.gguf_legality import check_engine
from dsv4recipe.runtimes.common.legality import check_claims, check_dropped, check_family, check_layout, check_source

if TYPE_CHECKING:  # only plans with an importance file need numpy
    from dsv4recipe.importance.model import Guide


def make_plan(recipe: Recipe, checkpoint: Checkpoint, importance: Guide | PlannedImportance | None = None) -> Plan:
    """Returns what the recipe means for every tensor of the checkpoint, to the byte. No weights are read. `importance`
    is the file for formats that ask for one, or what an earlier plan kept of it.

    Raises RecipeError with every problem at once: an unknown runtime (T001), a target that cannot accept the recipe
    (T0xx), side files that the bundle needs and the source lacks (T02x), tensors claimed by no rule, rules that match
    nothing, a commit other than the pinned one (P0xx), an importance file that does not fit (I01x).
    """
    family = checkpoint.family.name
    problems = Problems()
    check_family(recipe, family, problems)
    try:
        target = get(recipe.target.runtime, family, recipe.place("target.runtime"))
    except RecipeError as error:
        raise RecipeError.of((*problems.errors, *error.diagnostics)) from None
    problems.raise_if_any()
    check_pin(recipe, checkpoint, problems)
    check_source(target, recipe, checkpoint, problems)
    problems.raise_if_any()
    check_layout(target, recipe, checkpoint.dims, problems)
    claims, dropped = resolve(recipe, checkpoint, target, problems)
    check_claims(target, recipe, claims, problems)
    if not any(each.code == "P001" for each in problems.errors):
        check_dropped(target, claims, checkpoint.groups, problems)
    check_engine(target, recipe, claims, checkpoint.groups, problems)
    check_importance(recipe, claims, checkpoint, importance, problems)
    problems.raise_if_any()
    claims = sorted(claims, key=lambda claim: order_of(claim.group.slot, target.globals_first))
    modules = tuple(module_of(claim, recipe, target, checkpoint.dims) for claim in claims)
    keys = {module.disk: target.keys(claim.group.slot) for module, claim in zip(modules, claims, strict=True)}
    modules = led(modules, target)
    data, container = recipe_data(recipe), CONTAINERS[target.container]
    source = PlannedSource(
        *_model(recipe, checkpoint),
        family=family,
        config_digest=checkpoint.folder.config_digest,
        header_digest=checkpoint.folder.header_digest,
        tensors=checkpoint.folder.tensors,
        bytes=checkpoint.folder.bytes,
        origin=origin_of(recipe, checkpoint),
    )
    plan = Plan(
        recipe=data,
        source=source,
        target={"runtime": target.name, "experts": recipe.target.experts, "mtp": recipe.target.mtp,
                "half": recipe.target.half, "shard_size": recipe.target.shard_size, **container.facts(target, recipe)},
        modules=modules,
        shards=container.pack(data, claimed(source), modules, recipe.target.shard_size, checkpoint, target),
        overrides=quantization(target, modules, keys),
        dropped=dropped,
        importance=importance.planned if importance is not None else None,
    )  # fmt: skip
    container.companions(plan, checkpoint)
    return plan


def _model(recipe: Recipe, checkpoint: Checkpoint) -> tuple[str, str]:
    """Returns the repository and revision that a plan is for. If they are known for the checkpoint, these are returned,
    otherwise those of the recipe. If the recipe names one release but the checkpoint has the dimensions of another, the
    other release is returned without a revision."""
    if checkpoint.folder.origin is not None:
        return checkpoint.folder.origin.repo, checkpoint.folder.origin.commit
    said = recipe.source.model
    found = release_model(checkpoint.dims)
    if found in ("", said) or said not in {release.model for release in RELEASES.values()}:
        return said, recipe.source.revision
    return found, ""


def order_of(slot: Slot, globals_first: bool = False) -> tuple[int, int]:
    """Returns a sort key: main layers, then MTP stages, and globals last or first; within a layer routed experts come
    first. So source files are read one after another, and the first shard holds a routed expert."""
    layer = (-1 if globals_first else 1 << 30) if slot.layer is None else slot.layer
    return (layer, 0 if slot.row.role == "routed-expert" else 1)


def led(modules: tuple[PlannedModule, ...], target: Target) -> tuple[PlannedModule, ...]:
    """Returns the modules with the first stack of `target.first` moved to the front."""
    for module in modules:
        if module.experts and not module.per_expert and module.format.kind == target.first:
            return (module, *(other for other in modules if other is not module))
    return modules


def module_of(claim: Claim, recipe: Recipe, target: Target, dims: Dims) -> PlannedModule:
    """Returns what a claim becomes on disk, to the byte."""
    group, fmt = claim.group, claim.format
    slot, row = group.slot, group.slot.row
    disk = target.disk_stem(slot, recipe.target.experts)
    stacked = bool(group.experts) and "{E}" not in disk
    return PlannedModule(
        path=target.path(slot),
        disk=disk,
        role=row.role,
        projection=row.projection,
        block=slot.block,
        layer=slot.layer,
        format=fmt,
        lossless=group.lossless(fmt),
        rule=claim.rule.id,
        note=claim.rule.note,
        shape=group.shape,
        experts=group.experts,
        source=group.source,
        sources=group.names,
        parts=(
            *_parts(fmt.parts(group.source), target.suffix(slot), group, stacked, target.groups(slot, dims)),
            *target.extra_parts(fmt, stacked),
        ),
    )


def _parts(parts: Sequence[Part], named: str, group: Group, stacked: bool, row_groups: int) -> Sequence[Part]:
    """Returns the parts per disk stem: with an expert axis for a stack, with rows in `row_groups` if the runtime needs
    that (the same bytes in another shape), and called `named` if the format gives them no name."""
    lead = (group.experts,) if stacked else ()
    found = []
    for part in parts:
        rows, *rest = part.shape
        shape = (row_groups, rows // row_groups, *rest) if row_groups else part.shape
        found.append(Part(part.suffix or named, part.dtype, lead + shape))
    return found
