"""Floor 2, runtimes. A DeepSeek-V4 in a GGUF file, as ds4 and llama.cpp agree on it: names, and what follows from
one file. Pure data.

Source: docs/reference/runtimes.md, "GGUF engines". Matrices are called as importance files call them; here is the rest.
"""

from __future__ import annotations

from typing import Any

from dsv4recipe.checkpoint.family import Slot
from dsv4recipe.importance.names import GLOBALS, MATRICES
from dsv4recipe.runtimes.common.names import NameMap
from dsv4recipe.runtimes.common.side_files import no_side_files

NAMES = NameMap(
    root="",
    globals_={
        **GLOBALS,
        "norm": "output_norm",
        **{f"hc_head_{part}": f"output_hc_{part}" for part in ("fn", "base", "scale")},
    },
    layer={
        **MATRICES,
        "attn.q_norm": "attn_q_a_norm",
        "attn.kv_norm": "attn_kv_a_norm",
        "attn.attn_sink": "attn_sinks",
        "attn.compressor.ape": "attn_compressor_ape",
        "attn.compressor.norm": "attn_compressor_norm",
        "attn.indexer.compressor.ape": "indexer_compressor_ape",
        "attn.indexer.compressor.norm": "indexer_compressor_norm",
        "ffn.gate.bias": "exp_probs_b",
        "ffn.gate.tid2eid": "ffn_gate_tid2eid",
    },
    block="blk",
)


def disk_stem(slot: Slot, experts: str) -> str:  # noqa: ARG001 - experts are always stacked
    """Returns the tensor's name without its last word."""
    return NAMES.inner(slot.stem)


def suffix(slot: Slot) -> str:
    """Returns the last word: everything is a weight but the router's bias."""
    return ".bias" if slot.row.role == "router-bias" else ".weight"


SHARED: dict[str, Any] = {
    "families": ("deepseek_v4",),
    "names": NAMES,
    "disk_stem": disk_stem,
    "suffix": suffix,
    "expert_layouts": ("stacked",),
    "halves": ("float16",),
    "runs": {"": ("ggml",)},
    "float32_roles": (),
    "overrides": "all",
    "stem_overrides": False,
    "side_files": no_side_files,
    "library": "gguf",
    "container": "gguf",
    "globals_first": True,
}
"""What the targets of one GGUF file have in common."""
