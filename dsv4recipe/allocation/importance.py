"""Floor 3, allocation. Finds what an error in each module costs, from the priors or a file of measured sensitivities.
Reads that file."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from dsv4recipe.allocation.priors import Priors
from dsv4recipe.checkpoint.dims import Dims
from dsv4recipe.checkpoint.graph import Group
from dsv4recipe.errors import Problems, RecipeError, Where, did_you_mean
from dsv4recipe.headers.strict_json import read_object
from dsv4recipe.runtimes import Target

_LIMIT = 16 << 20
_SHOWN = 8
_FORM = '{"format_version": 1, "evidence": "…", "modules": {"<module path>": 1.0, …}}'


def from_priors(groups: Sequence[Group], priors: Priors, dims: Dims) -> dict[str, float]:
    """Returns the sensitivity of each group by source name."""
    return {group.names: priors.importance(group.slot, dims) for group in groups}


def from_file(path: Path, groups: Sequence[Group], target: Target, experts: str) -> tuple[dict[str, float], str]:
    """Returns (sensitivity by source name, evidence) from a file that names every module by its path in the runtime,
    its stem on disk or its source name. A "default" stands for all modules that are not named.

    Raises RecipeError A003 (no such document), A004 (unknown modules, with the nearest name), A005 (modules missing).
    """
    data = read_object(path, _LIMIT, str(path), "A003", _FORM)[0]
    given, default, evidence = data.get("modules"), data.get("default"), data.get("evidence")
    if data.get("format_version") != 1 or not isinstance(given, dict) or not isinstance(evidence, str):
        raise RecipeError("A003", "this is not a file of sensitivities", Where(str(path)), _FORM)
    names = {name: group.names for group in groups for name in _names(group, target, experts)}
    problems = Problems()
    found: dict[str, float] = {}
    for name, value in given.items():
        where = Where(str(path), subject=name[:200])
        if not _figure(value):
            problems.error("A003", f"the sensitivity of {name[:200]} must be a number of at least 0", where, _FORM)
        elif name not in names:
            near = did_you_mean(name, names)
            hint = near if near.startswith("did") else f"write a name such as {next(iter(names))}"
            problems.error("A004", f"no module to allocate is called {name[:200]}", where, hint)
        else:
            found[names[name]] = float(value)
    missing = [group.names for group in groups if group.names not in found]
    if missing and not _figure(default) and not problems.errors:
        message = f"{len(missing):,} of {len(groups):,} modules have no sensitivity"
        hint = 'name these modules, or write a "default"'
        problems.error("A005", message, Where(str(path)), hint, missing[:_SHOWN])
    problems.raise_if_any()
    return {group.names: float(found.get(group.names, default or 0.0)) for group in groups}, evidence


def _names(group: Group, target: Target, experts: str) -> Iterator[str]:
    yield from target.keys(group.slot)
    yield target.disk_stem(group.slot, experts)
    yield from (group.names, group.stem)


def _figure(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0
