"""Floor 3, plan. Makes the `quantization` section of config.json: globals, and one entry per module that needs it. This
module is pure.

docs/reference/runtimes.md says how loaders read the entries.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from dsv4recipe.plan.model import PlannedModule
from dsv4recipe.runtimes import Target


def quantization(target: Target, modules: Sequence[PlannedModule], keys: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Returns {"bits", "group_size", "mode", "<module path>": {bits, group_size, mode}, …}. `keys` maps a module's disk
    stem to the paths that describe it, one per dialect of the target.

    The global entry is the commonest format among those with the smallest group size: `quantize_model` drops an
    override whose group size is below the global one (docs/reference/runtimes.md). Routed experts never decide it while
    another quantized module exists.
    """
    entries = [(module, entry) for module in modules if (entry := module.format.quantization()) is not None]
    if not entries:
        return {}
    top = _global([entry for module, entry in entries if module.role != "routed-expert"] or [e for _, e in entries])
    smallest = min(entry["group_size"] for _, entry in entries)
    if top["group_size"] > smallest:
        top = _global([entry for _, entry in entries if entry["group_size"] == smallest])
    found: dict[str, Any] = dict(top)
    for module, entry in entries:
        if entry == top and target.overrides == "differing":
            continue
        found.update((key, dict(entry)) for key in keys[module.disk])
        if target.stem_overrides:
            found.update((stem, dict(entry)) for stem in module.stems)
    return found


def _global(entries: Sequence[dict[str, Any]]) -> dict[str, Any]:
    counts = Counter((e["mode"], e["group_size"], e["bits"]) for e in entries)
    (mode, group_size, bits), _ = max(counts.items(), key=lambda item: (item[1], item[0]))
    return {"bits": bits, "group_size": group_size, "mode": mode}
