"""A small synthetic source of the real V4 layout and hand-made vMLX bundles of it, with mlx as the only encoder."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import mlx.core as mx
import numpy as np

HIDDEN, EXPERTS, VOCAB, LAYERS, HASHED, RATIOS = 128, 4, 256, 4, 3, (0, 0, 4, 128)
ROUTED = {"w1": "gate_proj", "w2": "down_proj", "w3": "up_proj"}
SHARED = {"w1": "gate_proj", "w2": "down_proj", "w3": "up_proj"}
SPECIAL = ("<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜▁pad▁｜>", "<｜User｜>", "<｜Assistant｜>")
CONFIG = {
    "architectures": ["DeepseekV4ForCausalLM"], "model_type": "deepseek_v4", "hidden_size": HIDDEN,
    "moe_intermediate_size": 128, "n_routed_experts": EXPERTS, "n_shared_experts": 1, "num_experts_per_tok": 2,
    "num_hidden_layers": LAYERS, "num_hash_layers": HASHED, "num_nextn_predict_layers": 0, "vocab_size": VOCAB,
    "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 128, "qk_rope_head_dim": 64, "q_lora_rank": 128,
    "o_lora_rank": 64, "o_groups": 2, "index_n_heads": 2, "index_head_dim": 64, "index_topk": 8, "hc_mult": 4,
    "sliding_window": 128, "compress_ratios": list(RATIOS), "rope_theta": 10000, "compress_rope_theta": 160000,
    "rope_scaling": {"type": "yarn", "factor": 16, "original_max_position_embeddings": 65536, "beta_fast": 32,
                     "beta_slow": 1},
    "max_position_embeddings": 1048576, "swiglu_limit": 10.0, "eos_token_id": [1, 3], "tie_word_embeddings": False,
}  # fmt: skip
DTYPES = {"I8": np.int8, "U8": np.uint8, "F8_E4M3": np.uint8, "F8_E8M0": np.uint8, "BF16": np.uint16,
          "F16": np.float16, "F32": np.float32, "U32": np.uint32, "I64": np.int64}  # fmt: skip


def inventory():
    """(name, kind, logical shape) of every tensor: kind fp4, fp8, bf16, f32 or i64."""
    yield from (("embed.weight", "bf16", (VOCAB, HIDDEN)), ("head.weight", "bf16", (VOCAB, HIDDEN)))
    yield from (("norm.weight", "bf16", (HIDDEN,)), ("hc_head_fn", "f32", (4, 4 * HIDDEN)))
    yield from (("hc_head_base", "f32", (4,)), ("hc_head_scale", "f32", (1,)))
    for n, ratio in enumerate(RATIOS):
        at = f"layers.{n}.attn."
        yield at + "attn_sink", "f32", (2,)
        for name, shape in {"wq_a": (128, 128), "wq_b": (256, 128), "wkv": (128, 128), "wo_a": (128, 128),
                            "wo_b": (128, 128)}.items():  # fmt: skip
            yield f"{at}{name}.weight", "fp8", shape
        yield from ((at + "q_norm.weight", "bf16", (128,)), (at + "kv_norm.weight", "bf16", (128,)))
        compressors = [("compressor.", 128)] * (ratio > 0) + [("indexer.compressor.", 64)] * (ratio == 4)
        for part, width in compressors:
            out = width * (2 if ratio == 4 else 1)
            yield from ((at + part + "ape", "f32", (ratio, out)), (at + part + "norm.weight", "bf16", (width,)))
            yield from ((f"{at}{part}{w}.weight", "bf16", (out, HIDDEN)) for w in ("wkv", "wgate"))
        if ratio == 4:
            yield at + "indexer.wq_b.weight", "fp8", (128, 128)
            yield at + "indexer.weights_proj.weight", "bf16", (2, HIDDEN)
        for k in ("attn", "ffn"):
            yield f"layers.{n}.{k}_norm.weight", "bf16", (HIDDEN,)
            for name, shape in {"fn": (24, 4 * HIDDEN), "base": (24,), "scale": (3,)}.items():
                yield f"layers.{n}.hc_{k}_{name}", "f32", shape
        ffn = f"layers.{n}.ffn."
        yield ffn + "gate.weight", "bf16", (EXPERTS, HIDDEN)
        yield (ffn + "gate.tid2eid", "i64", (VOCAB, 2)) if n < HASHED else (ffn + "gate.bias", "f32", (EXPERTS,))
        yield from ((f"{ffn}shared_experts.{w}.weight", "fp8", (128, 128)) for w in SHARED)
        yield from ((f"{ffn}experts.{e}.{w}.weight", "fp4", (128, 128)) for e in range(EXPERTS) for w in ROUTED)


def write_source(folder: Path) -> dict[str, mx.array]:
    """Writes the checkpoint and returns its weights as mlx decodes them, by source name."""
    rng, stored, floats = np.random.default_rng(7), {}, {}
    for name, kind, shape in inventory():
        if kind == "fp4":
            codes, scale = rng.integers(0, 256, (128, 64), np.uint8), np.full((128, 4), 122, np.uint8)
            stored |= {name: ("I8", codes.view(np.int8)), name.replace("weight", "scale"): ("F8_E8M0", scale)}
            words = mx.array(codes.view(np.uint32))
            floats[name] = mx.dequantize(words, mx.array(scale), group_size=32, bits=4, mode="mxfp4", dtype=mx.float32)
        elif kind == "fp8":
            codes = (rng.integers(0, 2, shape) << 7 | rng.integers(40, 72, shape)).astype(np.uint8)
            scale = rng.integers(122, 124, (shape[0] // 128, shape[1] // 128), dtype=np.uint8)
            stored |= {name: ("F8_E4M3", codes), name.replace("weight", "scale"): ("F8_E8M0", scale)}
            grown = np.exp2(np.kron(scale, np.ones((128, 128))).astype(np.float32) - 127)
            floats[name] = mx.from_fp8(mx.array(codes), dtype=mx.float32) * mx.array(grown)
        elif kind == "i64":
            table = np.argsort(rng.random((shape[0], EXPERTS)), axis=1)[:, :2]
            stored[name], floats[name] = ("I64", table), mx.array(table)
        else:
            spread = 0.05 if "norm" in name else 1.0 if name == "embed.weight" else 0.1
            value = mx.array(rng.standard_normal(shape, np.float32) * spread + ("norm" in name))
            value = value.astype(mx.bfloat16) if kind == "bf16" else value
            stored[name] = ("BF16", np.array(value.view(mx.uint16))) if kind == "bf16" else ("F32", np.array(value))
            floats[name] = value.astype(mx.float32)
    folder.mkdir()
    write_safetensors(folder / "model-00001-of-00001.safetensors", stored)
    (folder / "config.json").write_text(
        json.dumps({**CONFIG, "quantization_config": {"weight_block_size": [128, 128]}})
    )
    return floats


def write_bundle(
    folder: Path, weights: dict[str, mx.array], *, mxtq=False, prefix="", stems_only=False, wrong=None, skew=0
):
    """A prestacked bundle: routed experts affine 4-bit (or random 2-bit MXTQ), everything else affine 8-bit group 32.

    Spoils on request: `prefix` before every name; `stems_only` leaves out the overrides' module paths; `wrong` is a
    module path that gets an override of another width; `skew` bytes of header misalign the shard.
    """
    stored, eight, four = {}, {"bits": 8, "group_size": 32, "mode": "affine"}, {"bits": 4, "group_size": 32}
    four["mode"], quantization, rng = "affine", dict(eight), np.random.default_rng(1)

    def affine(stem, weight, setting):
        parts = mx.quantize(weight.astype(mx.float16), group_size=setting["group_size"], bits=setting["bits"])
        stored.update({f"{stem}.{part}": ("U32" if part == "weight" else "F16", np.array(value))
                       for part, value in zip(("weight", "scales", "biases"), parts, strict=True)})  # fmt: skip

    for n in range(LAYERS):
        for w, projection in ROUTED.items():
            stem = f"layers.{n}.mlp.switch_mlp.{projection}"
            if mxtq:
                stored[stem + ".tq_packed"] = "U32", rng.integers(0, 1 << 32, (EXPERTS, 128, 8), np.uint32)
                stored[stem + ".tq_norms"] = "F16", np.ones((EXPERTS, 128), np.float16)
                stored[stem + ".tq_bits"] = "U8", np.array([2], np.uint8)
                continue
            affine(stem, mx.stack([weights[f"layers.{n}.ffn.experts.{e}.{w}.weight"] for e in range(EXPERTS)]), four)
            quantization |= dict.fromkeys([stem] if stems_only else [stem, f"model.{stem}"], four)
    for name, kind, shape in inventory():
        plain = kind in ("f32", "i64") or len(shape) == 1 or name.endswith("gate.weight")
        if kind != "fp4" and not plain:
            affine(name.removesuffix(".weight"), weights[name], eight)
        elif kind != "fp4":
            value = np.array(weights[name])
            stored[name] = {"f32": ("F32", value), "i64": ("I64", value)}.get(kind, ("F16", value.astype(np.float16)))
    if wrong:
        quantization[wrong] = {"bits": 4, "group_size": 32, "mode": "affine"}
    (folder / "encoding").mkdir(parents=True)
    (folder / "encoding" / "encoding_dsv4.py").write_text('"""Placeholder of the prompt encoder."""\n')
    shard = "model-00001-of-00001.safetensors"
    stored = {prefix + name: value for name, value in stored.items()}
    write_safetensors(folder / shard, stored, skew)
    total = sum(array.nbytes for _, array in stored.values())
    index = {"metadata": {"total_size": total}, "weight_map": dict.fromkeys(sorted(stored), shard)}
    form = "mxtq" if mxtq else "affine"
    jang = {"weight_format": form, "quantization": {"method": form, "group_size": 32, "bits": 8}, "mxtq_seed": 42}
    vocab = {token: i for i, token in enumerate(SPECIAL)} | {f"w{i}": i for i in range(len(SPECIAL), VOCAB)}
    files = {
        "config.json": {**CONFIG, "quantization": quantization} | ({"weight_format": "mxtq"} if mxtq else {}),
        "jang_config.json": jang | ({"mxtq_bits": {"routed_expert": 2}} if mxtq else {}),
        "model.safetensors.index.json": index,
        "tokenizer.json": {"version": "1.0", "added_tokens": [], "model": {"type": "WordLevel", "vocab": vocab,
                                                                          "unk_token": SPECIAL[2]}},
        "tokenizer_config.json": {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": SPECIAL[1]},
    }  # fmt: skip
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content), encoding="utf-8")
    return folder


def write_safetensors(path: Path, tensors, skew: int = 0) -> None:
    """name → (safetensors dtype, array), wide items first so that all are aligned when the header is padded to 8."""
    order = sorted(tensors, key=lambda name: (-DTYPES[tensors[name][0]]().itemsize, name))
    header, offset = {}, 0
    for name in order:
        dtype, array = tensors[name]
        end = offset + array.nbytes
        header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8 + skew)
    data = b"".join(tensors[name][1].tobytes() for name in order)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
