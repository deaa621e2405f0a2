"""Floor 4, verifier (child side). Answers a question in the bundle's own prompt format, with greedy decoding.

The prompt is made as the runtimes make it: with the tokenizer's chat template, or with `encode_messages` of the
bundle's encoding/encoding_dsv4.py, which is the bundle's own code and runs here.
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

from . import forward
from .adapter import Adapter

ENCODING = "encoding/encoding_dsv4.py"


def answer(runtime: Adapter, model: Any, bundle: Path, question: str, limit: int) -> dict[str, Any]:
    """Returns {"text", "prompt_tokens", "tokens", "stopped", "finite"}: the model's answer of at most `limit` tokens.

    `stopped` says that it ended by itself. Raises FileNotFoundError if the bundle states no prompt format.
    """
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(bundle))
    ids = tokenizer.encode(_prompt(tokenizer, bundle, question), add_special_tokens=False)
    cache = runtime.text(model).make_cache()
    logits, _ = forward.prefill(runtime, model, ids, cache, every=False)
    said, finite = forward.decode(runtime, model, cache, int(logits[0].argmax()), limit, _ends(tokenizer, bundle))
    return {
        "text": tokenizer.decode(said, skip_special_tokens=True),
        "prompt_tokens": len(ids),
        "tokens": len(said),
        "stopped": len(said) < limit,
        "finite": finite,
    }


def _prompt(tokenizer: Any, bundle: Path, question: str) -> str:
    messages = [{"role": "user", "content": question}]
    if getattr(tokenizer, "chat_template", None):
        return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))
    path = bundle / ENCODING
    if not path.exists():
        raise FileNotFoundError(f"there is neither a chat template in the tokenizer nor {ENCODING}")
    spec = importlib.util.spec_from_file_location("encoding_dsv4", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{ENCODING} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return str(module.encode_messages(messages, thinking_mode="chat"))


def _ends(tokenizer: Any, bundle: Path) -> frozenset[int]:
    """Returns the tokens that end an answer, from generation_config.json, else config.json, and from the tokenizer."""
    found = {tokenizer.eos_token_id}
    for name in ("generation_config.json", "config.json"):
        path = bundle / name
        stated = json.loads(path.read_text(encoding="utf-8")).get("eos_token_id") if path.exists() else None
        if stated is not None:
            found |= set(stated if isinstance(stated, list) else [stated])
            break
    return frozenset(token for token in found if token is not None)
