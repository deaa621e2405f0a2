"""Floor 2, runtimes. What the runtimes with post-sanitize names on disk share: names of the model class of mlx-lm#1192
and of its elder branch, formats, roles. Pure data.

Source: docs/reference/runtimes.md, "Module names".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dsv4recipe.checkpoint.family import Slot
from dsv4recipe.runtimes.common.names import PROJECTION_OF, NameMap

_HYPER = ("fn", "base", "scale")


def class_names(attention_hyper: str, feed_forward_hyper: str, wrapper: str = "") -> NameMap:
    """Returns the names of the class; its branches differ in what they call the two hyper-connections of a block."""
    return NameMap(
        root="model.",
        globals_={
            "embed": "model.embed_tokens",
            "head": "lm_head",
            **{f"hc_head_{part}": f"model.hc_head.{part}" for part in _HYPER},
        },
        layer={
            "ffn.gate.bias": "ffn.gate.e_score_correction_bias",
            **{f"hc_attn_{part}": f"{attention_hyper}.{part}" for part in _HYPER},
            **{f"hc_ffn_{part}": f"{feed_forward_hyper}.{part}" for part in _HYPER},
            **{f"hc_head_{part}": f"hc_head.{part}" for part in _HYPER},
            **{f"ffn.experts.{{E}}.{w}": f"ffn.switch_mlp.{name}" for w, name in PROJECTION_OF.items()},
            **{f"ffn.shared_experts.{w}": f"ffn.shared_experts.{name}" for w, name in PROJECTION_OF.items()},
        },
        wrapper=wrapper,
    )


PR1192 = class_names("attn_hc", "ffn_hc")
"""mlx-lm#1192, and its heirs oMLX and Rapid-MLX; mlx-vlm wraps it."""


def named_as_loaded(names: NameMap, stages: tuple[str, ...] = ()) -> Callable[[Slot, str], str]:
    """Returns `disk_stem` of a runtime whose names on disk are its own module paths, those of MTP stages too where
    it has modules for their kind (`stages`)."""

    def disk_stem(slot: Slot, experts: str) -> str:  # noqa: ARG001 - experts are always stacked
        return names.inner(slot.stem) if slot.block != "mtp" or slot.stage in stages else slot.stem

    return disk_stem


def runs(matrix: tuple[str, ...], routed: tuple[str, ...] = ("affine", "mxfp4")) -> dict[str, tuple[str, ...]]:
    """Returns `Target.runs` of a class in which every linear module takes `matrix` and whose router is a bare array."""
    return {"routed-expert": routed, **dict.fromkeys(_LINEAR, matrix), "": ("keep",)}


_LINEAR = (
    "attention", "compressor", "indexer", "shared-expert", "embedding", "lm-head", "mtp-projection", "markov-head",
)  # fmt: skip

CONTROL = ("hyper-connection", "attention-sink", "router-bias")
"""What the class keeps in float32 when it casts a model; position biases (`ape`) it casts."""

SHARED: dict[str, Any] = {
    "families": ("deepseek_v4",),
    "expert_layouts": ("stacked",),
    "mtp": ("drop",),
    "float32_roles": CONTROL,
    "overrides": "all",
    "library": "mlx",
}
"""What all of these runtimes have in common."""
