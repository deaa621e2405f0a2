"""Floor 2, runtimes. Side files that several runtimes share: source config edits, stop tokens, copies. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from dsv4recipe.errors import RecipeError, Where
from dsv4recipe.headers.strict_json import parse_json
from dsv4recipe.runtimes.common.target import SideFile, SideInput

EOS_TOKENS = ("<｜end▁of▁sentence｜>", "<｜User｜>")
"""Where generation must stop: without the user token the model goes on into a turn of its own (vmlx.md 4.7)."""

COPIED = (
    "tokenizer.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "chat_template.jinja",
    "engram_token_map.json",
    "preprocessor_config.json",
    "processor_config.json",
    "LICENSE",
    "LICENSE.txt",
)
COPIED_FOLDERS = ("encoding/",)
EDITED = ("config.json", "generation_config.json", "tokenizer_config.json", "README.md")


def dump(data: Mapping[str, Any]) -> bytes:
    """JSON as it goes into a bundle: sorted keys, indent 2, UTF-8, a final newline."""
    return (json.dumps(data, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def load(side: SideInput, name: str) -> dict[str, Any]:
    """A JSON side file of the source. Raises RecipeError T020 if it is missing or not an object."""
    try:
        data = parse_json(side.texts[name].encode())
    except KeyError:
        raise RecipeError("T020", f"the source has no {name}", Where(name), "download the whole repository") from None
    except ValueError as error:
        raise RecipeError("T020", f"{name} is not JSON: {error}", Where(name)) from None
    if not isinstance(data, dict):
        raise RecipeError("T020", f"{name} is not a JSON object", Where(name))
    return data


def token_ids(side: SideInput, tokens: tuple[str, ...]) -> list[int]:
    """Ids of special tokens from tokenizer.json. Raises RecipeError T021 naming the tokens it lacks."""
    added = load(side, "tokenizer.json").get("added_tokens", [])
    known: dict[str, int] = {}
    for token in added if isinstance(added, list) else []:
        if isinstance(token, dict) and isinstance(token.get("id"), int):
            known[str(token.get("content"))] = token["id"]
    missing = [token for token in tokens if token not in known]
    if missing:
        names = ", ".join(missing)
        raise RecipeError("T021", f"tokenizer.json has no special token {names}", Where("tokenizer.json"))
    return sorted({known[token] for token in tokens})


def copies(side: SideInput) -> list[SideFile]:
    """Tokenizer, licence and encoding files as they are; the upstream card under its own name."""
    kept = [n for n in side.files if n in COPIED or n.startswith(COPIED_FOLDERS)]
    found = [SideFile(name, copy_of=name) for name in sorted(kept)]
    if "README.md" in side.files:
        found.append(SideFile("README.upstream.md", copy_of="README.md"))
    return found


def mlx_config(side: SideInput, eos: list[int]) -> dict[str, Any]:
    """The source's config.json with MLX's quantization section in place of the source's own (mlx.md 1.2)."""
    config = {key: value for key, value in side.config.items() if key != "quantization_config"}
    config["quantization"] = dict(side.quantization)
    config["quantization_config"] = dict(side.quantization)
    config["eos_token_id"] = eos
    return config


def without_stages(config: dict[str, Any]) -> dict[str, Any]:
    """The config of a bundle that has dropped its MTP stages."""
    if "text_config" in config:
        return config | {"text_config": config["text_config"] | {"num_nextn_predict_layers": 0}}
    return config | {"num_nextn_predict_layers": 0}


def no_side_files(side: SideInput) -> tuple[SideFile, ...]:  # noqa: ARG001 - the signature of `side_files`
    """A GGUF says everything in its own header."""
    return ()


def plain_side_files(side: SideInput, **more: Any) -> tuple[SideFile, ...]:
    """The companions of a stock MLX bundle: config (and `more` keys of it), stop tokens, tokenizer, encoding folder.

    Raises RecipeError T020 or T021 where the source lacks a file or token.
    """
    eos = token_ids(side, EOS_TOKENS)
    config = mlx_config(side, eos) | more
    if side.mtp == "drop":
        config = without_stages(config)
    return (
        SideFile("config.json", dump(config)),
        SideFile("generation_config.json", dump({**load(side, "generation_config.json"), "eos_token_id": eos})),
        SideFile("tokenizer_config.json", dump(load(side, "tokenizer_config.json"))),
        *copies(side),
    )
