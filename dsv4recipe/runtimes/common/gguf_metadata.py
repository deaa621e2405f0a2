"""Floor 2, runtimes. The key/values of a GGUF: from config.json, tokenizer.json and the recipe, and back. This module
is pure.

Source: docs/reference/runtimes.md, "GGUF engines": what ds4 requires, and what llama.cpp needs besides. Integers are
u32: a u64 counts as missing in one engine and is an error in the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dsv4recipe.checkpoint.dims import Dims
from dsv4recipe.errors import Problems, RecipeError, Where
from dsv4recipe.headers.gguf import Pair

ARCHITECTURE = "deepseek4"
_GATING = {"sqrtsoftplus": 4}
_ROPE = {"yarn"}

FROM_CONFIG: tuple[tuple[str, str, str], ...] = (
    ("block_count", "u32", "num_hidden_layers"),
    ("context_length", "u32", "max_position_embeddings"),
    ("embedding_length", "u32", "hidden_size"),
    ("vocab_size", "u32", "vocab_size"),
    ("attention.head_count", "u32", "num_attention_heads"),
    ("attention.head_count_kv", "u32", "num_key_value_heads"),
    ("attention.key_length", "u32", "head_dim"),
    ("attention.value_length", "u32", "head_dim"),
    ("attention.layer_norm_rms_epsilon", "f32", "rms_norm_eps"),
    ("attention.q_lora_rank", "u32", "q_lora_rank"),
    ("attention.output_lora_rank", "u32", "o_lora_rank"),
    ("attention.output_group_count", "u32", "o_groups"),
    ("attention.sliding_window", "u32", "sliding_window"),
    ("attention.indexer.head_count", "u32", "index_n_heads"),
    ("attention.indexer.key_length", "u32", "index_head_dim"),
    ("attention.indexer.top_k", "u32", "index_topk"),
    ("attention.compress_rope_freq_base", "f32", "compress_rope_theta"),
    ("rope.dimension_count", "u32", "qk_rope_head_dim"),
    ("rope.freq_base", "f32", "rope_theta"),
    ("rope.scaling.type", "str", "rope_scaling.type"),
    ("rope.scaling.factor", "f32", "rope_scaling.factor"),
    ("rope.scaling.original_context_length", "u32", "rope_scaling.original_max_position_embeddings"),
    ("rope.scaling.yarn_beta_fast", "f32", "rope_scaling.beta_fast"),
    ("rope.scaling.yarn_beta_slow", "f32", "rope_scaling.beta_slow"),
    ("expert_count", "u32", "n_routed_experts"),
    ("expert_used_count", "u32", "num_experts_per_tok"),
    ("expert_shared_count", "u32", "n_shared_experts"),
    ("expert_feed_forward_length", "u32", "moe_intermediate_size"),
    ("expert_weights_scale", "f32", "routed_scaling_factor"),
    ("expert_weights_norm", "bool", "norm_topk_prob"),
    ("hash_layer_count", "u32", "num_hash_layers"),
    ("hyper_connection.count", "u32", "hc_mult"),
    ("hyper_connection.sinkhorn_iterations", "u32", "hc_sinkhorn_iters"),
    ("hyper_connection.epsilon", "f32", "hc_eps"),
)
"""Key below `deepseek4.`, its type, and where config.json has the value."""

_WANTED: dict[str, Any] = {"u32": int, "f32": (int, float), "bool": bool, "str": str}


def architecture_pairs(config: Mapping[str, Any], dims: Dims, stages: bool) -> tuple[Pair, ...]:
    """Returns `deepseek4.*`. `stages` says that the file is of the prediction stages, whose ratios it then lists too.

    Raises RecipeError T030 naming every key of config.json that is missing or of another kind, or has a value for which
    GGUF has no word.
    """
    problems = Problems()
    where = Where("config.json")
    hint = "download config.json of this release again, or copy this value from it"
    pairs = []
    for key, kind, path in FROM_CONFIG:
        value = _at(config, path)
        fits = isinstance(value, _WANTED[kind]) and (kind == "bool") == isinstance(value, bool)
        if not fits or (kind == "u32" and not 0 <= value < 1 << 32):
            problems.error("T030", f"config.json: {path} is {value!r:.80}; a GGUF needs it as {kind}", where, hint)
        else:
            pairs.append(Pair(f"{ARCHITECTURE}.{key}", kind, value))
    for path, known in (("scoring_func", _GATING), ("rope_scaling.type", _ROPE)):
        if _at(config, path) not in known:
            problems.error(
                "T030",
                f"config.json: {path} is {_at(config, path)!r:.80}; known values are {', '.join(known)}",
                where,
                hint,
            )
    limit = config.get("swiglu_limit")
    if not isinstance(limit, int | float) or isinstance(limit, bool):
        problems.error("T030", f"config.json: swiglu_limit is {limit!r:.80}; a GGUF needs it as f32", where, hint)
    problems.raise_if_any()
    ratios = dims.ratios if stages else dims.ratios[: dims.layers]
    last = (
        Pair("expert_gating_func", "u32", _GATING[config["scoring_func"]]),
        Pair("attention.compress_ratios", "i32[]", tuple(ratios)),
        Pair("swiglu_clamp_exp", "f32[]", (limit,) * dims.layers),
        *((Pair("nextn_predict_layers", "u32", dims.stages),) if stages else ()),
    )
    return (*pairs, *(Pair(f"{ARCHITECTURE}.{each.key}", each.kind, each.value) for each in last))


def config_of(value_of: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the config.json that key/values tell of, as far as they do: the way back from a file. Values by whole
    key."""
    config: dict[str, Any] = {"model_type": "deepseek_v4"}
    for key, _, path in FROM_CONFIG:
        value = value_of.get(f"{ARCHITECTURE}.{key}")
        *outer, name = path.split(".")
        if value is not None:
            (config.setdefault(outer[0], {}) if outer else config)[name] = value
    if ratios := value_of.get(f"{ARCHITECTURE}.attention.compress_ratios"):
        config["compress_ratios"] = list(ratios)
    if clamp := value_of.get(f"{ARCHITECTURE}.swiglu_clamp_exp"):
        config["swiglu_limit"] = clamp[0]
    gating = {number: name for name, number in _GATING.items()}
    config["scoring_func"] = gating.get(value_of.get(f"{ARCHITECTURE}.expert_gating_func", -1))
    config["bos_token_id"] = value_of.get("tokenizer.ggml.bos_token_id")
    config["eos_token_id"] = value_of.get("tokenizer.ggml.eos_token_id")
    return config


_FILE_TYPES = {"F32": 0, "F16": 1, "Q8_0": 7, "Q2_K": 10, "Q4_K": 14, "IQ2_XXS": 19, "BF16": 32, "MXFP4": 38}


def general_pairs(recipe: Mapping[str, Any], origin: tuple[str, str], commonest: str) -> tuple[Pair, ...]:
    """Returns `general.*`: what the file is and where it comes from. `origin` is repository and commit, ("", "") where
    they are not known. `commonest` is the type of most weights, which is what general.file_type can say."""
    model, revision = origin
    owner, _, name = model.rpartition("/")
    found = [
        Pair("general.architecture", "str", ARCHITECTURE),
        Pair("general.type", "str", "model"),
        Pair("general.name", "str", f"{name} {recipe['name']}".strip()),
        Pair("general.description", "str", recipe["summary"]),
        Pair("general.license", "str", recipe["license"]),
        Pair("general.file_type", "u32", _FILE_TYPES[commonest]),
        Pair("general.quantization_version", "u32", 2),
    ]
    if model:
        found += [
            Pair("general.base_model.count", "u32", 1),
            Pair("general.base_model.0.name", "str", name),
            Pair("general.base_model.0.organization", "str", owner),
            Pair("general.base_model.0.repo_url", "str", f"https://huggingface.co/{model}"),
        ]
    if revision:
        found.append(Pair("general.base_model.0.version", "str", revision))
    return tuple(found)


_NORMAL, _CONTROL, _USER, _UNUSED = 1, 3, 4, 5
PRE_TOKENIZER = "joyai-llm"
"""llama.cpp's word for the split of this family's tokenizer; ds4 has it built in."""


_ENDS = ("eos", "eot")
"""What GGUF calls the tokens of `eos_token_id`: the end of a text, and of a turn. llama.cpp stops at either."""


def tokenizer_pairs(tokenizer: Mapping[str, Any], config: Mapping[str, Any]) -> tuple[Pair, ...]:
    """Returns `tokenizer.ggml.*`, by llama.cpp's convention: every id has a token, gaps are `[PADid]`.

    Raises RecipeError T031 for a tokenizer.json that is no byte-pair encoding, or does not fit the vocabulary.
    """
    where, problems = Where("tokenizer.json"), Problems()
    hint = "download tokenizer.json of this release again"
    model, size = tokenizer.get("model"), config["vocab_size"]
    if not isinstance(model, dict) or model.get("type") != "BPE":
        raise RecipeError("T031", "tokenizer.json: a GGUF needs a byte-pair encoding (model.type BPE)", where, hint)
    tokens = [f"[PAD{number}]" for number in range(size)]
    kinds = [_UNUSED] * size
    added = [each for each in tokenizer.get("added_tokens") or () if isinstance(each, dict)]
    rows = [(token, number, _NORMAL) for token, number in _entries(model.get("vocab"))]
    rows += [(each.get("content"), each.get("id"), _CONTROL if each.get("special") else _USER) for each in added]
    for token, number, kind in rows:
        if not isinstance(token, str) or type(number) is not int or not 0 <= number < size:
            problems.error(
                "T031",
                f"tokenizer.json: token {token!r:.80} has the id {number!r:.40}, of {size:,}",
                where,
                f"{hint}, or remove the tokens that were added to it",
            )
            break
        tokens[number], kinds[number] = token, kind
    merges = [_merge(each) for each in model.get("merges") or ()]
    if "" in merges or not merges:
        problems.error("T031", "tokenizer.json: its merges are missing, or are not pairs of tokens", where, hint)
    ends = config.get("eos_token_id")
    ends = ends if isinstance(ends, list) and ends else [ends]
    ids = [("bos", config.get("bos_token_id")), *zip(_ENDS, ends, strict=False)]
    for name, number in ids:
        if type(number) is not int or not 0 <= number < size:
            message = f"config.json: {name}_token_id is {number!r:.40}, which is not one of the {size:,} tokens"
            problems.error(
                "T031", message, Where("config.json"), "write the ids of the tokens that begin and end a text"
            )
    if len(ends) > len(_ENDS):
        message = f"config.json: eos_token_id lists {len(ends)} tokens, but a GGUF has room for {len(_ENDS)}"
        problems.error("T031", message, Where("config.json"), f"write {ends[: len(_ENDS)]}")
    problems.raise_if_any()
    return (
        Pair("tokenizer.ggml.model", "str", "gpt2"),
        Pair("tokenizer.ggml.pre", "str", PRE_TOKENIZER),
        Pair("tokenizer.ggml.tokens", "str[]", tuple(tokens)),
        Pair("tokenizer.ggml.token_type", "i32[]", tuple(kinds)),
        Pair("tokenizer.ggml.merges", "str[]", tuple(merges)),
        *(Pair(f"tokenizer.ggml.{name}_token_id", "u32", number) for name, number in ids),
    )


def tokenizer_of(value_of: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the tokenizer.json that gives these key/values again."""
    tokens = value_of.get("tokenizer.ggml.tokens") or ()
    kinds = value_of.get("tokenizer.ggml.token_type") or (_NORMAL,) * len(tokens)
    rows = list(zip(tokens, kinds, range(len(tokens)), strict=False))
    added = [{"content": t, "id": n, "special": k == _CONTROL} for t, k, n in rows if k in (_CONTROL, _USER)]
    vocab = {token: number for token, kind, number in rows if kind == _NORMAL}
    model = {"type": "BPE", "vocab": vocab, "merges": list(value_of.get("tokenizer.ggml.merges") or ())}
    return {"added_tokens": added, "model": model}


def _entries(vocab: Any) -> Sequence[tuple[Any, Any]]:
    return list(vocab.items()) if isinstance(vocab, dict) else []


def _merge(pair: Any) -> str:
    """ "left right" of a merge, which tokenizer.json writes as that text or as a pair; "" for anything else."""
    parts = pair.split(" ") if isinstance(pair, str) else pair
    fits = isinstance(parts, list) and len(parts) == 2 and all(isinstance(each, str) and each for each in parts)
    return " ".join(parts) if fits else ""


def _at(config: Mapping[str, Any], path: str) -> Any:
    found: Any = config
    for name in path.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found
