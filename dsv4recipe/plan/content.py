"""Floor 3, plan. Returns what a plan says as plain data, and the digest of that data. This module is pure.

`Plan.digest` imports this module, so plans are typed as `Any` here.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from dsv4recipe.plan.ledger import ledger

FORMAT_VERSION = 1


def canonical_json(data: Any) -> str:
    """Returns JSON with sorted keys, no spaces, UTF-8 characters unescaped, and no NaN or Infinity."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest_of(plan: Any) -> str:
    """Returns the sha256 (hex) of the canonical JSON of a plan, without the digest itself."""
    return hashlib.sha256(canonical_json(content_of(plan)).encode()).hexdigest()


def content_of(plan: Any) -> dict[str, Any]:
    """Returns everything that a plan file says except the digest."""
    weighed = {} if plan.importance is None else {"importance": plan.importance.data()}
    return weighed | {
        "format_version": FORMAT_VERSION,
        "recipe": dict(plan.recipe),
        "source": _source_data(plan.source),
        "target": dict(plan.target),
        "modules": [_module_data(module) for module in plan.modules],
        "shards": [
            {
                "file": shard.file,
                "modules": list(shard.modules),
                "tensor_bytes": shard.tensor_bytes,
                "file_bytes": shard.file_bytes,
            }
            | ({"header": shard.header} if shard.header else {})
            for shard in plan.shards
        ],
        "overrides": dict(plan.overrides),
        "dropped": dict(plan.dropped),
        "totals": {
            "tensor_bytes": plan.tensor_bytes,
            "modules": len(plan.modules),
            "shards": len(plan.shards),
            "bits_per_weight": plan.bits_per_weight,
            "by": [row.data() for row in ledger(plan.modules)],
        },
    }


def _source_data(source: Any) -> dict[str, Any]:
    found = {name: getattr(source, name) for name in source.__slots__ if name != "origin"}
    return found if source.origin is None else found | {"origin": dict(source.origin)}


def _module_data(module: Any) -> dict[str, Any]:
    return {
        "path": module.path,
        "disk": module.disk,
        "role": module.role,
        "projection": module.projection,
        "block": module.block,
        "layer": module.layer,
        "format": module.format.spec(),
        "lossless": module.lossless,
        "rule": module.rule,
        "note": module.note,
        "shape": list(module.shape),
        "experts": module.experts,
        "bytes": module.bytes,
        "sources": module.sources,
        "stored": {
            "as": module.source.stored,
            "shape": list(module.source.shape),
            "dtype": module.source.dtype,
            "tile": list(module.source.tile),
            **({"scales": module.source.scales} if module.source.scales else {}),
        },
        "tensors": [
            {"suffix": part.suffix, "dtype": part.dtype, "shape": list(part.shape)}
            | ({} if part.fill is None else {"fill": part.fill})
            for part in module.parts
        ],
    }
