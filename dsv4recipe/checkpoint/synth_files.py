"""Floor 1, checkpoint. Makes the files beside the shards of a synthetic checkpoint: tokenizer, card, licence. This
module is pure.

The set of files is what the runtimes read from a release (docs/reference/checkpoint.md, Files).
"""

from __future__ import annotations

import json
from typing import Any

from dsv4recipe.checkpoint.dims import text_section

BOS, EOS, PAD, USER, ASSISTANT = (
    "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜▁pad▁｜>", "<｜User｜>", "<｜Assistant｜>",
)  # fmt: skip

_ENCODING = f'''"""Stand-in for the release's message encoder: roles and text, no tools, no reasoning."""

BOS, EOS = "{BOS}", "{EOS}"
ROLES = {{"system": "", "user": "{USER}", "assistant": "{ASSISTANT}"}}


def encode_messages(messages, add_default_bos_token=True, **kw):
    """The prompt text of a list of {{"role": …, "content": …}} messages, open for the assistant's answer."""
    text = BOS if add_default_bos_token else ""
    for message in messages:
        text += ROLES[message["role"]] + message["content"]
        if message["role"] == "assistant":
            text += EOS
    return text if messages and messages[-1]["role"] == "assistant" else text + ROLES["assistant"]
'''

_CARD = """---
license: mit
library_name: transformers
tags:
- synthetic
---

# Synthetic checkpoint of the DeepSeek-V4 layout

Tensor names, dtypes, shapes and shards are those of a DeepSeek-V4 release. The values are random: it has learnt
nothing. It was written by `dsv4recipe synth` to try recipes, builds and runtimes without the real weights.

* {layers} layers, {stages} MTP stages, {experts} routed experts per layer, vocabulary of {vocab}
* {tensors:,} tensors, {size:,} bytes{holes}
"""

_LICENSE = """The data in this folder are random numbers and made-up words. Nobody claims rights in them: use them as
you like, without warranty of any kind.
"""


MARKS = ("<think>", "</think>", "｜DSML｜")
"""Markers of thinking and of tool calls. They are words of the vocabulary, but not control tokens."""


def special_tokens(vocab: int) -> dict[str, int]:
    """Returns the special tokens. They have the ids of the release if the vocabulary is large enough; otherwise they
    follow the padding token."""
    user = 128803 if vocab > 128804 else 3
    return {BOS: 0, EOS: 1, PAD: 2, USER: user, ASSISTANT: user + 1}


def tokenizer(vocab: int) -> dict[str, Any]:
    """Returns tokenizer.json: a byte-pair encoding like the release's. Text is split at spaces and words are looked up
    whole: "w<id>" for each id that is not special, a marker or a digit. The merges are the words whose two halves are
    words."""
    special = special_tokens(vocab)
    last = {token: vocab - 1 - place for place, token in enumerate((*MARKS, *"0123456789"))}
    marks = {token: last[token] for token in MARKS}
    taken = {*special.values(), *last.values()}
    words = special | {f"w{number}": number for number in range(vocab) if number not in taken} | last
    merges = [f"{word[:-1]} {word[-1]}" for word in words if word[0] == "w" and word[:-1] in words]
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    added = [(token, number, True) for token, number in special.items()]
    added += [(token, number, False) for token, number in marks.items()]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": number, "content": token, **flags, "special": control} for token, number, control in added
        ],
        "normalizer": None,
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "post_processor": None,
        "decoder": None,
        "model": {"type": "BPE", "vocab": words, "merges": merges, "ignore_merges": True, "unk_token": PAD},
    }


def side_files(config: dict[str, Any], index: dict[str, Any], sparse: bool) -> dict[str, str]:
    """Returns relative path → text of every file that is not a shard."""
    text = text_section(config)
    vocab, stages = text["vocab_size"], len(text["compress_ratios"]) - text["num_hidden_layers"]
    card = _CARD.format(
        layers=text["num_hidden_layers"],
        stages=stages,
        experts=text["n_routed_experts"],
        vocab=vocab,
        tensors=len(index["weight_map"]),
        size=index["metadata"]["total_size"],
        holes="\n* headers only: the data are holes that read as zeros" if sparse else "",
    )
    generation = {"bos_token_id": 0, "eos_token_id": 1, "do_sample": True, "temperature": 1.0, "top_p": 1.0}
    tokens = {"bos_token": BOS, "eos_token": EOS, "pad_token": PAD, "add_bos_token": False, "add_eos_token": False}
    limits = {"model_max_length": text["max_position_embeddings"], "tokenizer_class": "PreTrainedTokenizerFast"}
    documents = {
        "config.json": config,
        "generation_config.json": {"_from_model_config": True} | generation,
        "model.safetensors.index.json": index,
        "tokenizer.json": tokenizer(vocab),
        "tokenizer_config.json": tokens | limits,
    }
    drafter = {key: value for key, value in text.items() if key.startswith("dspark_")}
    if drafter and stages:
        documents["inference/config.json"] = {"n_mtp_layers": stages} | drafter
    texts = {name: json.dumps(value, indent=2, ensure_ascii=False) + "\n" for name, value in documents.items()}
    return texts | {"LICENSE": _LICENSE, "README.md": card, "encoding/encoding_dsv4.py": _ENCODING}
