"""Floor 3, plan. Turns a plan, or what a bundle shows, back into a readable recipe with the same plan. Pure."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from dsv4recipe.checkpoint.graph import Checkpoint, Group
from dsv4recipe.errors import Problems, RecipeError, Where
from dsv4recipe.plan.containers import container_of
from dsv4recipe.plan.make import make_plan
from dsv4recipe.plan.model import Plan, PlannedModule
from dsv4recipe.plan.rules import rules_for
from dsv4recipe.recipe.model import Recipe, Rule, Source, Target
from dsv4recipe.runtimes import get

_SHOWN = 8


@dataclass(frozen=True, slots=True)
class About:
    """What no tensor shows: the recipe's name, summary and license, and the model if the plan does not know it."""

    name: str
    summary: str
    license: str
    model: str = ""
    revision: str = ""


@dataclass(frozen=True)
class Decompiled:
    """The result. `recipe` plans to the same modules, formats and bytes; `notes` says what of the bundle is lost."""

    recipe: Recipe
    notes: tuple[str, ...]


def decompile(plan: Plan, checkpoint: Checkpoint, about: About, file: str) -> Decompiled:
    """Returns the recipe of a plan. `checkpoint` is the one its config requires (`expected_checkpoint`). `file` names
    the bundle in messages. The recipe is planned again and compared before it is returned.

    Raises RecipeError P030 (tensors that no format describes), P031 (no model named), P032 (no rule of the language, or
    no target, makes this bundle; the reasons are in the notes).
    """
    _check_described(plan, file)
    model = plan.source.model or about.model
    if not model:
        hint = "pass the checkpoint that it was made from: --model ORG/NAME"
        raise RecipeError("P031", "the bundle does not say which model it was made from", Where(file), hint)
    recipe = Recipe(
        name=about.name,
        summary=about.summary,
        license=about.license,
        source=Source(model, plan.source.revision or about.revision, (plan.source.family,)),
        target=_target(plan),
        rules=tuple(_rules(plan, checkpoint)),
    )
    try:
        again = make_plan(recipe, checkpoint, plan.importance)
    except RecipeError as error:
        reasons = [d.message for d in error.diagnostics]
        hint = "no target of this version accepts this combination; choose another runtime with --runtime"
        raise RecipeError("P032", "no recipe can make this bundle", Where(file), hint, reasons[:_SHOWN]) from None
    return Decompiled(recipe, tuple(_compare(plan, again, file)))


def _check_described(plan: Plan, file: str) -> None:
    problems = Problems()
    odd: dict[str, list[PlannedModule]] = defaultdict(list)
    for module in plan.modules:
        if module.format.kind.startswith("unrecognised"):
            odd[module.format.kind].append(module)
    for kind, modules in odd.items():
        names = tuple(module.disk for module in modules[1:_SHOWN])
        more = "" if len(modules) == 1 else f" ({len(modules):,} modules)"
        problems.error(
            "P030",
            f"{modules[0].disk}: {kind}{more}",
            Where(file),
            "name the recipe that it was built by, or verify the bundle to see what it is",
            names,
        )
    problems.raise_if_any()


def _target(plan: Plan) -> Target:
    told, container = plan.target, container_of(plan)
    return Target(
        told["runtime"], told["experts"], told["mtp"], container.shard_size(plan), told["half"],
        container.backends(plan),
    )  # fmt: skip


def _rules(plan: Plan, checkpoint: Checkpoint) -> list[Rule]:
    """Returns the exceptions of each role first, then one rule per action for the roles as a whole."""
    formats = {module.sources: module.format.assumed() for module in plan.modules}
    by_role: dict[str, list[tuple[Group, object]]] = defaultdict(list)
    target = get(plan.target["runtime"], plan.source.family)
    for group in checkpoint.groups:
        if group.slot.block == "mtp" and plan.target["mtp"] == "drop":
            continue
        fmt = formats.get(group.names)
        kept_as = target.kept(group.source, group.slot.row.role, plan.target["half"])
        by_role[group.slot.row.role].append((group, "drop" if fmt is None else fmt.as_action(kept_as)))
    return rules_for(by_role, checkpoint.family.layer_sets(checkpoint.dims))


def _compare(plan: Plan, again: Plan, file: str) -> list[str]:
    """Raises RecipeError unless modules, formats and bytes are the same. Returns notes on all other differences."""
    old, new = ({module.sources: module for module in each.modules} for each in (plan, again))
    wrong = [key for key in {**old, **new} if key not in old or key not in new or _what(old[key]) != _what(new[key])]
    if wrong:
        message = f"no rules of this version describe {len(wrong):,} modules"
        hint = "a recipe has one format for all that is alike; `dsv4recipe verify` says what differs here"
        raise RecipeError("P032", message, Where(file), hint, sorted(wrong)[:_SHOWN])
    notes = []
    names = [key for key in old if old[key].disk != new[key].disk]
    if names:
        first = names[0]
        notes.append(
            f"{len(names):,} modules get other names on disk: for example, {old[first].disk} becomes {new[first].disk}"
        )
    shapes = [key for key in old if old[key].disk == new[key].disk and old[key].parts != new[key].parts]
    if shapes:
        notes.append(
            f"{len(shapes):,} modules get the same bytes in another shape, beginning with {old[shapes[0]].disk}"
        )
    if [s.tensor_bytes for s in plan.shards] != [s.tensor_bytes for s in again.shards]:
        notes.append(f"{len(plan.shards)} shards become {len(again.shards)} of other sizes")
    if any(m.format.assumed() != m.format for m in plan.modules):
        notes.append("a file does not record its importance: the recipe uses energy for IQ2_XXS, none elsewhere")
    if dict(plan.overrides) != dict(again.overrides):
        notes.append("the entries of config.json are written as the target needs them, which differs from the bundle")
    return notes


def _what(module: PlannedModule) -> tuple[Any, ...]:
    return (
        module.path,
        module.format.assumed(),
        module.bytes,
        [(part.suffix, part.dtype, part.nbytes) for part in module.parts],
    )
