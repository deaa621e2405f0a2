"""Floor 3, advice. Holds the lints: an expert's remarks on valid plans. This module is pure.

A lint is a function from a case to pairs of a rule id ("" for the whole plan) and a finding. Each finding has a code
(docs/errors/L.md).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator

from dsv4recipe.advice.case import Case
from dsv4recipe.advice.fit import MACS, fit, machine_said
from dsv4recipe.advice.more_lints import absent_layers, old_evidence, thin_ends
from dsv4recipe.errors import Diagnostic
from dsv4recipe.formats import Format
from dsv4recipe.formats.registry import as_stored
from dsv4recipe.plan.cautions import cautions
from dsv4recipe.plan.model import PlannedModule
from dsv4recipe.recipe.model import CONTROL_ROLES
from dsv4recipe.units import human_size

ADVICE, WARNING = "advice", "warning"
_NEAR = 0.08
"""A plan gets advice for a machine if it is too large for it by at most this share of the room."""
_WIDTH = {"F32": 4, "BF16": 2, "F16": 2}


Found = tuple[str, Diagnostic]
Lint = Callable[[Case], Iterator[Found]]


def dearer_than_exact(case: Case) -> Iterator[Found]:
    """Yields L001: a lossy format takes as many bytes as an exact one that the runtime runs there, or more."""
    for rule, modules in case.by_rule.items():
        found: dict[tuple[str, str], list[tuple[PlannedModule, int]]] = defaultdict(list)
        for module in modules:
            better = None if module.lossless else _exact(case, module)
            if better is not None:
                fmt, size = better
                if size <= module.bytes:
                    found[module.format.label, fmt.label].append((module, size))
        for (before, after), pairs in found.items():
            saved = sum(module.bytes - size for module, size in pairs)
            message = (
                f"{before} is not exact for {_those(module for module, _ in pairs)}, and {after} is, in "
                f"{human_size(saved)} less"
            )
            hint = f"write format: {{{after}: {{}}}}"
            yield rule, Diagnostic("L001", message, case.place(rule, "format"), hint, ADVICE)


def wider_than_the_source(case: Case) -> Iterator[Found]:
    """Yields L002: a plain copy is wider than the source, and the runtime does not ask for it."""
    for rule, modules in case.by_rule.items():
        wide = [
            module
            for module in modules
            if module.format.plain_dtype
            and module.role not in case.target.float32_roles
            and _WIDTH.get(module.parts[0].dtype, 0) > _WIDTH.get(module.source.dtype, 9)
        ]
        if wide:
            narrow = sum(module.weights * _WIDTH[module.source.dtype] for module in wide)
            message = (
                f"{_those(wide)} are stored in {wide[0].parts[0].dtype}, but the source has {wide[0].source.dtype}: "
                f"{human_size(sum(module.bytes for module in wide) - narrow)} carry no information"
            )
            yield rule, Diagnostic("L002", message, case.place(rule, "keep"), "write keep: source", ADVICE)


def misses_by_little(case: Case) -> Iterator[Found]:
    """Yields L003: a plan is a little too large for a common Mac. It is silent if the recipe names its machine, because
    the fit is then shown anyway."""
    if case.target.library != "mlx" or machine_said(case.recipe):
        return
    for machine in MACS:
        found = fit(case.plan, case.checkpoint, machine)
        if found.fits:
            return
        if -found.spare <= _NEAR * found.room.bytes:
            message = f"the bundle is {human_size(-found.spare)} too large for {machine}"
            hint = (
                f"dsv4recipe allocate {case.recipe.name} --source SRC --fits {machine} -o RECIPE finds formats that fit"
            )
            yield "", Diagnostic("L003", message, case.recipe.place("name"), hint, ADVICE)
            return


def unlike_layers(case: Case) -> Iterator[Found]:
    """Yields L004: rules put modules of one kind into different formats, and none of them says why."""
    kinds: dict[tuple[str, str, str], dict[str, list[PlannedModule]]] = defaultdict(lambda: defaultdict(list))
    for module in case.plan.modules:
        projection = "gate and up" if module.projection in ("gate", "up") else module.projection
        kinds[module.block, module.role, projection][module.format.label].append(module)
    for (_, role, projection), formats in kinds.items():
        if role in CONTROL_ROLES or len(formats) < 2:
            continue
        few = min(formats.values(), key=len)
        rules = {module.rule for modules in formats.values() for module in modules}
        if any(case.rules[rule].note for rule in rules):
            continue
        message = f"{role} {projection}".strip() + f" is in {len(formats)} formats: {', '.join(sorted(formats))}"
        hint = "if this is intended, say why in a note of the rule; otherwise let one rule claim them all"
        yield few[0].rule, Diagnostic("L004", message, case.place(few[0].rule, "match.layers", "format"), hint, ADVICE)


def narrowed_control(case: Case) -> Iterator[Found]:
    """Yields L005: control tensors are narrower than in the source, by a rule that does not say why."""
    for rule, modules in case.by_rule.items():
        narrow = [
            module
            for module in modules
            if module.role in CONTROL_ROLES
            and module.format.plain_dtype
            and not module.lossless
            and not case.rules[rule].note
        ]
        if narrow:
            message = f"{_those(narrow)} lose precision: {narrow[0].source.dtype} becomes {narrow[0].parts[0].dtype}"
            hint = "control tensors are small but affect everything; write keep: float32, or say in a note why not"
            yield rule, Diagnostic("L005", message, case.place(rule, "keep"), hint, WARNING)


def unused_stages(case: Case) -> Iterator[Found]:
    """Yields L006: a bundle holds prediction stages (MTP), but its runtime has no module for them."""
    idle = [module for module in case.plan.modules if module.block == "mtp" and module.path is None]
    if idle and len(idle) < len(case.plan.modules):
        size = human_size(sum(module.bytes for module in idle))
        message = f"{size} are prediction stages (MTP), which {case.target.name} does not load"
        yield "", Diagnostic("L006", message, case.recipe.place("target.mtp"), "write mtp: drop in target", ADVICE)


def slow_there(case: Case) -> Iterator[Found]:
    """Yields T038: the runtime's version runs something only slowly."""
    yield from (("", caution) for caution in cautions(case.plan))


LINTS: tuple[Lint, ...] = (
    dearer_than_exact,
    wider_than_the_source,
    misses_by_little,
    unlike_layers,
    narrowed_control,
    unused_stages,
    old_evidence,
    absent_layers,
    thin_ends,
    slow_there,
)


def _exact(case: Case, module: PlannedModule) -> tuple[Format, int] | None:
    """Returns the smallest exact format that the runtime runs for a module, and its bytes."""
    runs = case.target.runs.get(module.role, case.target.runs[""])
    copies = max(module.experts, 1)
    options = [
        (sum(part.nbytes for part in fmt.parts(module.source)) * copies, fmt)
        for fmt in as_stored()
        if fmt.kind in runs and not fmt.problem(module.source) and fmt.lossless(module.source)
    ]
    size, fmt = min(options, key=lambda option: option[0], default=(0, None))
    return None if fmt is None else (fmt, size)


def _those(modules: Iterable[PlannedModule]) -> str:
    """Returns what a finding is about, such as "132 modules of role routed-expert"."""
    found = list(modules)
    roles = sorted({module.role for module in found})
    return f"{len(found):,} module{'s' * (len(found) != 1)} of role {', '.join(roles)}"
