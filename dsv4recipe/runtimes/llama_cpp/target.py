"""Floor 2, runtimes. `llama.cpp`: architecture deepseek4 of upstream. Pure data.

Source: docs/reference/runtimes.md, "GGUF engines", run with llama-cpp-python 0.3.36. Any type per tensor that its
operations read, gate unlike up too; prediction stages are another dialect, which this version does not write.
"""

from __future__ import annotations

from dsv4recipe.checkpoint.family import Slot
from dsv4recipe.formats.base import BLOCKS
from dsv4recipe.runtimes.common.gguf_engine import Engine
from dsv4recipe.runtimes.common.gguf_names import SHARED
from dsv4recipe.runtimes.common.target import Target

_FLOATS = ("F32", "F16", "BF16")


def types(slot: Slot, rank: int) -> tuple[str, ...]:
    """Vectors in F32; tables in integers; hyper-connections and position biases in floats; other matrices in any."""
    role = slot.row.role
    if role == "hash-table":
        return ("I32",)
    if rank < 2:
        return ("F32",)
    return ("F32", "F16") if role in ("hyper-connection", "position-bias", "router") else (*_FLOATS, *BLOCKS)


LLAMA_CPP = Target(
    name="llama.cpp",
    mtp=("drop",),
    engine=Engine(version="0.5.0", types=types, reads_other_types=True),
    **SHARED,
)
