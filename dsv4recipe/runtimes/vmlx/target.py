"""Floor 2, runtimes. `vmlx`: jang 2.5.50 and vMLX 1.6.81. Pure data; side files are in `vmlx_files`.

Source: docs/reference/runtimes.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from dsv4recipe.checkpoint.family import Slot
from dsv4recipe.formats import Format, Mxtq, Part, SourceTensor
from dsv4recipe.runtimes.common.names import PROJECTION_OF, NameMap
from dsv4recipe.runtimes.common.target import Target
from dsv4recipe.runtimes.vmlx import sidecar as vmlx_sidecar
from dsv4recipe.runtimes.vmlx.side_files import vmlx_side_files

NAMES = NameMap(
    root="model.",
    globals_={"head": "lm_head"},
    layer={
        "attn_norm": "input_layernorm",
        "ffn_norm": "post_attention_layernorm",
        "attn": "self_attn",
        "ffn": "mlp",
        **{f"ffn.experts.{{E}}.{w}": f"mlp.switch_mlp.{name}" for w, name in PROJECTION_OF.items()},
        **{f"ffn.shared_experts.{w}": f"mlp.shared_experts.{name}" for w, name in PROJECTION_OF.items()},
    },
)


def disk_stem(slot: Slot, experts: str) -> str:
    """Source names, but prestacked routed experts of the main block as `layers.N.mlp.switch_mlp.P`; the experts of
    MTP stages stay one by one."""
    if slot.expert is not None and experts == "stacked" and slot.block == "main":
        return NAMES.path(slot.stem).removeprefix(NAMES.root)
    return slot.stem


def extra_parts(fmt: Format, stacked: bool) -> tuple[Part, ...]:
    """MXTQ keeps its width beside the codes: `tq_bits` U8 [1] per stack, I32 [1] per single expert."""
    if not isinstance(fmt, Mxtq):
        return ()
    return (Part(".tq_bits", "U8" if stacked else "I32", (1,), fill=fmt.bits),)


def sidecar(modules: Iterable[tuple[SourceTensor, Format]]) -> Mapping[str, int]:
    """Returns the MXTQ constants, exactly where there is MXTQ: the file alone selects the loader."""
    asked = vmlx_sidecar.uses(modules)
    return {vmlx_sidecar.NAME: vmlx_sidecar.payload_bytes(asked)} if asked else {}


_MATRIX = ("affine", "keep")

VMLX = Target(
    name="vmlx",
    families=("deepseek_v4",),
    names=NAMES,
    expert_layouts=("stacked", "per-expert"),
    mtp=("keep", "drop"),
    halves=("float16", "bfloat16"),
    runs={
        "routed-expert": ("affine", "mxfp4", "mxtq"),
        "shared-expert": _MATRIX,
        "attention": _MATRIX,
        "compressor": _MATRIX,
        "indexer": _MATRIX,
        "embedding": _MATRIX,
        "lm-head": _MATRIX,
        "mtp-projection": _MATRIX,
        "markov-head": _MATRIX,
        "": ("keep",),
    },
    float32_roles=("hyper-connection", "attention-sink", "router-bias", "position-bias"),
    overrides="differing",
    stem_overrides=True,
    disk_stem=disk_stem,
    extra_parts=extra_parts,
    side_files=vmlx_side_files,
    library="mlx",
    tied=("gate", "up"),
    whole=("mxtq",),
    laws=("jang",),
    sidecar=sidecar,
    first="mxtq",
)
