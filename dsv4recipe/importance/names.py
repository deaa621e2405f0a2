"""Floor 1, importance. Maps source tensor names to GGUF tensor names of DeepSeek-V4's matrices, and back. Pure.

See docs/how-to/gguf.md. The GGUF holds one tensor for a stack of experts: w1 is gate, w3 up, w2 down. `indexer.` has a
dot, `indexer_compressor_` has none.
"""

from __future__ import annotations

from collections.abc import Iterator

GLOBALS = {"embed": "token_embd", "head": "output"}

MATRICES = {
    "attn.wq_a": "attn_q_a",
    "attn.wq_b": "attn_q_b",
    "attn.wkv": "attn_kv",
    "attn.wo_a": "attn_output_a",
    "attn.wo_b": "attn_output_b",
    "attn.compressor.wkv": "attn_compressor_kv",
    "attn.compressor.wgate": "attn_compressor_gate",
    "attn.indexer.wq_b": "indexer.attn_q_b",
    "attn.indexer.weights_proj": "indexer.proj",
    "attn.indexer.compressor.wkv": "indexer_compressor_kv",
    "attn.indexer.compressor.wgate": "indexer_compressor_gate",
    "ffn.gate": "ffn_gate_inp",
    "ffn.experts.{E}.w1": "ffn_gate_exps",
    "ffn.experts.{E}.w2": "ffn_down_exps",
    "ffn.experts.{E}.w3": "ffn_up_exps",
    "ffn.shared_experts.w1": "ffn_gate_shexp",
    "ffn.shared_experts.w2": "ffn_down_shexp",
    "ffn.shared_experts.w3": "ffn_up_shexp",
    "e_proj": "e_proj",
    "h_proj": "h_proj",
}
"""Matrices of a layer or prediction stage: names below `layers.{N}.` or `mtp.{N}.` → below `blk.{N}.` or `mtp.{N}.`."""


def gguf_name(tensor: str) -> tuple[str, int | None]:
    """Returns ("blk.3.ffn_gate_exps.weight", 17) for "layers.3.ffn.experts.17.w1.weight". Without an expert the number
    is None. Returns ("", None) for a tensor that is not a matrix of the family."""
    head, *rest = tensor.removesuffix(".weight").split(".")
    if not rest:
        found = GLOBALS.get(head, "")
        return (f"{found}.weight" if found else "", None)
    number, *path = rest
    expert = None
    if path[:2] == ["ffn", "experts"] and len(path) == 4 and path[2].isdecimal():
        expert, path[2] = int(path[2]), "{E}"
    found = MATRICES.get(".".join(path), "")
    prefix = {"layers": "blk", "mtp": "mtp"}.get(head)
    return (f"{prefix}.{number}.{found}.weight", expert) if found and prefix else ("", None)


def entry_names(tensor: str) -> Iterator[tuple[str, int | None]]:
    """Yields where a file may hold the columns of a source tensor, in lookup order: (entry, expert). `expert` is set if
    the entry holds those of a whole stack one after another. llama.cpp writes whole stacks; ds4 also reads `.expert.N`
    and `.expert_N`; a tensor's own name is the most exact."""
    yield tensor, None
    name, expert = gguf_name(tensor)
    if name and expert is not None:
        yield f"{name}.expert.{expert}", None
        yield f"{name}.expert_{expert}", None
    if name:
        yield name, expert
