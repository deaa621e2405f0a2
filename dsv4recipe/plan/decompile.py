"""Floor 3, plan. The way back: a plan, or what a bundle shows, → a readable recipe that plans to the same. Pure."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from dsv4recipe.checkpoint.graph import Checkpoint, Group
from dsv4recipe.errors import Problems, RecipeError, Where
from dsv4recipe.formats import Affine, Format, Keep
from dsv4recipe.formats.base import FLOAT_DTYPES, HALF_DTYPES
from dsv4recipe.plan.ledger import label
from dsv4recipe.plan.make import make_plan
from dsv4recipe.plan.model import Plan, PlannedModule
from dsv4recipe.plan.selectors import Selection, commonest, exceptions
from dsv4recipe.plan.shards import pack_shards
from dsv4recipe.recipe.layers import compact
from dsv4recipe.recipe.model import ROLES, Match, Recipe, Rule, Source, Target
from dsv4recipe.recipe.show import recipe_data
from dsv4recipe.units import parse_size

_SIZES = ("5GiB", "5GB", "1GB", "1GiB", "2GB", "2GiB", "4GB", "4GiB", "8GB", "8GiB", "10GB", "10GiB", "20GB", "50GB")
_CONTROL = {"norm", "router", "router-bias", "hyper-connection", "attention-sink", "position-bias", "hash-table"}
_FLOATS = {dtype: name for name, dtype in FLOAT_DTYPES.items()}
_SHOWN = 8


@dataclass(frozen=True, slots=True)
class About:
    """What no tensor tells: the recipe's name, summary and license, and the model where the plan does not know it."""

    name: str
    summary: str
    license: str
    model: str = ""
    revision: str = ""


@dataclass(frozen=True)
class Decompiled:
    """`recipe` plans to the same modules, formats and bytes; `notes` says what of the bundle it does not repeat."""

    recipe: Recipe
    notes: tuple[str, ...]


def decompile(plan: Plan, checkpoint: Checkpoint, about: About, file: str) -> Decompiled:
    """The recipe of a plan. `checkpoint` is what its config calls for (`expected_checkpoint`); `file` names the bundle
    in messages. The recipe is planned again and compared before it is returned.

    Raises RecipeError P030 (tensors that no format describes), P031 (no model named), P032 (no rule of the language, or
    no target, makes this bundle; the reasons follow).
    """
    _check_described(plan, file)
    model = plan.source.model or about.model
    if not model:
        hint = "name the checkpoint it was made from: --model ORG/NAME"
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
        hint = "the bundle mixes what no target of this version takes; choose another with --runtime"
        raise RecipeError("P032", "no recipe makes this bundle", Where(file), hint, reasons[:_SHOWN]) from None
    return Decompiled(recipe, tuple(_compare(plan, again, file)))


def recipe_text_data(recipe: Recipe) -> dict[str, Any]:
    """`recipe_data` without the defaults, for reading."""
    data = recipe_data(recipe)
    for rule in data["rules"]:
        if not rule["optional"]:
            del rule["optional"]
        affine = rule.get("format", {}).get("affine")
        if affine is not None and affine["scales"] == recipe.target.half:
            del affine["scales"]
        if affine is not None and affine["fit"] == "minmax":
            del affine["fit"]
        rule["match"] = {k: v[0] if len(v) == 1 and k != "layers" else v for k, v in rule["match"].items()}
    return data


def _check_described(plan: Plan, file: str) -> None:
    problems = Problems()
    odd: dict[str, list[PlannedModule]] = defaultdict(list)
    for module in plan.modules:
        if module.format.kind.startswith("unrecognised"):
            odd[module.format.kind].append(module)
    for kind, modules in odd.items():
        names = tuple(module.disk for module in modules[1:_SHOWN])
        more = "" if len(modules) == 1 else f" ({len(modules):,} modules)"
        problems.error("P030", f"{modules[0].disk}: {kind}{more}", Where(file), notes=names)
    problems.raise_if_any()


def _target(plan: Plan) -> Target:
    told = plan.target
    size = told.get("shard_size") or _shard_size(plan)
    return Target(told["runtime"], told["experts"], told["mtp"], size, told["half"])


def _shard_size(plan: Plan) -> int:
    """The first usual size that cuts the modules as the bundle is cut, or else into as many shards; 5GiB otherwise."""
    wanted = [shard.tensor_bytes for shard in plan.shards]
    cuts = {size: [s.tensor_bytes for s in pack_shards(plan.modules, size)] for size in map(parse_size, _SIZES)}
    alike = [size for size, cut in cuts.items() if cut == wanted]
    return next(iter(alike or [size for size, cut in cuts.items() if len(cut) == len(wanted)]), parse_size("5GiB"))


def _rules(plan: Plan, checkpoint: Checkpoint) -> list[Rule]:
    """Exceptions of each role first, then one rule per action for the roles as a whole."""
    formats = {module.sources: module.format for module in plan.modules}
    by_role: dict[str, list[tuple[Group, object]]] = defaultdict(list)
    for group in checkpoint.groups:
        if group.slot.block == "mtp" and plan.target["mtp"] == "drop":
            continue
        fmt = formats.get(group.names)
        by_role[group.slot.row.role].append(
            (group, "drop" if fmt is None else _action(fmt, group, plan.target["half"]))
        )
    roles = sorted(by_role, key=ROLES.index)
    sets = checkpoint.family.layer_sets(checkpoint.dims)
    whole = {role: commonest(by_role[role]) for role in roles}
    special = [s for role in roles for s in exceptions(role, by_role[role], whole[role], sets)]
    general = [Selection(role, Match(), whole[role]) for role in roles]
    return _named(_joined([*special, *general]))


def _action(fmt: Format, group: Group, half: str) -> Any:
    if not isinstance(fmt, Keep):
        return fmt
    source = group.source
    as_source = HALF_DTYPES[half] if source.stored in ("bf16", "f16") else source.dtype
    return "source" if fmt.dtype == as_source else _FLOATS.get(fmt.dtype, "source")


def _joined(selections: Sequence[Selection]) -> list[tuple[Match, Any]]:
    """Selections that differ in their role alone as one rule; general ones last, as they came."""
    found: dict[tuple[Match, object], list[str]] = {}
    for each in selections:
        found.setdefault((each.match, each.action), []).append(each.role)
    return [(replace(match, role=tuple(roles)), action) for (match, action), roles in found.items()]


def _named(rules: Sequence[tuple[Match, Any]]) -> list[Rule]:
    used: Counter[str] = Counter()
    made = []
    for match, action in rules:
        name = _name(match, action)
        used[name] += 1
        made.append(Rule(name if used[name] == 1 else f"{name}-{used[name]}", match, action))
    return made


def _name(match: Match, action: Any) -> str:
    """An id that says what the rule is about: "routed-expert-down-6-bit", "control", "embedding-and-lm-head"."""
    roles = set(match.role)
    if len(roles) > 2:
        head = "control" if roles <= _CONTROL else "as-stored" if action == "source" else "everything-else"
    else:
        head = "-and-".join(match.role)
    narrow = match.projection or match.block
    if match.layers or match.layer_sets or match.tensor or match.projection or match.block:
        head = "-".join((head, *narrow))
        head += "" if not match.layers else f"-layers-{compact(match.layers)[0]}"
    what = action if isinstance(action, str) else label(action)
    words = f"{head}-{what}" if narrow or match.tensor or match.layers or match.layer_sets else head
    return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")[:60].strip("-")


def _compare(plan: Plan, again: Plan, file: str) -> list[str]:
    """Refuses unless modules, formats and bytes are the same; tells what else is not."""
    old, new = ({module.sources: module for module in each.modules} for each in (plan, again))
    wrong = [key for key in {**old, **new} if key not in old or key not in new or _what(old[key]) != _what(new[key])]
    if wrong:
        message = f"no rules of this version describe {len(wrong):,} modules"
        raise RecipeError("P032", message, Where(file), notes=sorted(wrong)[:_SHOWN])
    notes = []
    names = [key for key in old if old[key].disk != new[key].disk]
    if names:
        first = names[0]
        notes.append(
            f"{len(names):,} modules get other names on disk: {old[first].disk} becomes {new[first].disk}, and so on"
        )
    shapes = [key for key in old if old[key].disk == new[key].disk and old[key].parts != new[key].parts]
    if shapes:
        notes.append(f"{len(shapes):,} modules get the same bytes under another shape, first {old[shapes[0]].disk}")
    if [s.tensor_bytes for s in plan.shards] != [s.tensor_bytes for s in again.shards]:
        notes.append(f"{len(plan.shards)} shards become {len(again.shards)} of other sizes")
    if dict(plan.overrides) != dict(again.overrides):
        notes.append("the entries of config.json are written as the target needs them, not as they are")
    return notes


def _what(module: PlannedModule) -> tuple[Any, ...]:
    fmt = module.format
    shown = replace(fmt, scales="") if isinstance(fmt, Affine) else fmt
    return module.path, shown, module.bytes, [(part.suffix, part.dtype, part.nbytes) for part in module.parts]
