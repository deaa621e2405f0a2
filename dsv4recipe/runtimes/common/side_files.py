"""Floor 2, runtimes. Side files that several runtimes share: source config edits, stop tokens, copies. This module is
pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from dsv4recipe.checkpoint.dims import text_section
from dsv4recipe.errors import RecipeError, Where
from dsv4recipe.headers.strict_json import parse_json
from dsv4recipe.runtimes.common.chat_template import NAME, own_template
from dsv4recipe.runtimes.common.target import SideFile, SideInput

EOS_TOKENS = ("<｜end▁of▁sentence｜>", "<｜User｜>")
"""The tokens at which generation must stop. Without the user token the model continues with a made-up turn."""

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
    """Returns JSON as it goes into a bundle: sorted keys, indent 2, UTF-8, a final newline."""
    return (json.dumps(data, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def load(side: SideInput, name: str) -> dict[str, Any]:
    """Returns a JSON side file of the source. Raises RecipeError T020 if it is missing or not an object."""
    try:
        return _object(side.texts[name], name)
    except KeyError:
        raise RecipeError("T020", f"the source has no {name}", Where(name), "download the whole repository") from None


@lru_cache(maxsize=16)
def _object(text: str, name: str) -> dict[str, Any]:
    """Kept, for a tokenizer has megabytes and every plan asks: nobody may change what is returned."""
    hint = "download this file again"
    try:
        data = parse_json(text.encode())
    except ValueError as error:
        raise RecipeError("T020", f"{name} is not JSON: {error}", Where(name), hint) from None
    if not isinstance(data, dict):
        raise RecipeError("T020", f"{name} is not a JSON object", Where(name), hint)
    return data


def token_ids(side: SideInput, tokens: tuple[str, ...]) -> list[int]:
    """Ids of special tokens from tokenizer.json. Raises RecipeError T021 naming the tokens it lacks."""
    known = dict(_added(load(side, "tokenizer.json")))
    missing = [token for token in tokens if token not in known]
    if missing:
        names = ", ".join(missing)
        hint = "use the tokenizer.json of the release, because generation stops at these tokens"
        raise RecipeError("T021", f"tokenizer.json has no special token {names}", Where("tokenizer.json"), hint)
    return sorted({known[token] for token in tokens})


def stop_ids(side: SideInput) -> list[int]:
    """Where generation stops: at `EOS_TOKENS`, and wherever a file of the source says so. One list for all files.

    Raises RecipeError T020, T021, and T025 for an `eos_token_id` that is no token of the model.
    """
    found = set(token_ids(side, EOS_TOKENS))
    said = [("config.json", text_section(side.config)), ("config.json", side.config)]
    said += [(name, load(side, name)) for name in ("generation_config.json", "tokenizer_config.json")]
    rows = text_section(side.config).get("vocab_size", 0)
    for file, section in said:
        given = section.get("eos_token_id")
        for number in given if isinstance(given, list) else [] if given is None else [given]:
            if type(number) is not int or not 0 <= number < rows:
                message = f"{file}: eos_token_id is {given!r:.80}; the model has the tokens 0 to {rows - 1:,}"
                hint = "write the ids of the tokens that end a turn"
                raise RecipeError("T025", message, Where(file, subject="eos_token_id"), hint)
            found.add(number)
    return sorted(found)


def beyond(tokenizer: Mapping[str, Any], rows: int) -> list[tuple[str, int]]:
    """Returns the tokens of a tokenizer.json whose ids are no row of an embedding of `rows` rows, by id."""
    model = tokenizer.get("model")
    vocab = model.get("vocab") if isinstance(model, dict) else None
    listed = list(vocab.items()) if isinstance(vocab, dict) else []
    listed += _added(tokenizer)
    odd = {(str(token), number) for token, number in listed if isinstance(number, int) and not 0 <= number < rows}
    return sorted(odd, key=lambda each: (each[1], each[0]))


def _added(tokenizer: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    added = tokenizer.get("added_tokens", [])
    for token in added if isinstance(added, list) else []:
        if isinstance(token, dict) and isinstance(token.get("id"), int):
            yield str(token.get("content")), token["id"]


def copies(side: SideInput) -> list[SideFile]:
    """Tokenizer, licence and encoding files as they are; the upstream card under its own name; a chat template where
    the source has none. Raises RecipeError T026."""
    kept = [n for n in side.files if n in COPIED or n.startswith(COPIED_FOLDERS)]
    found = [SideFile(name, copy_of=name) for name in sorted(kept)]
    if "README.md" in side.files:
        found.append(SideFile("README.upstream.md", copy_of="README.md"))
    if own := own_template(side):
        found.append(SideFile(NAME, own.encode()))
    return found


def mlx_config(side: SideInput, eos: list[int]) -> dict[str, Any]:
    """Returns the source's config.json with MLX's quantization section in place of the source's own, with the MTP
    stages that the bundle holds, and with the half type of its tensors where it names one.

    Raises RecipeError T020 where it lacks what no runtime can guess.
    """
    text = text_section(side.config)
    for key in NEEDED:
        if not text.get(key):
            message = f"config.json has no {key}, and without it a runtime computes something else"
            hint = f"copy {key} from the config.json of the release"
            raise RecipeError("T020", message, Where("config.json", subject=key), hint)
    config = {key: value for key, value in side.config.items() if key != "quantization_config"}
    config["quantization"] = dict(side.quantization)
    config["quantization_config"] = dict(side.quantization)
    config["eos_token_id"] = eos
    config |= {key: side.half for key in _HALF_TYPE if key in config}
    _in_text(config, **{key: side.half for key in _HALF_TYPE if key in text})
    if not side.stages:
        _in_text(config, num_nextn_predict_layers=0)
    elif not text.get("num_nextn_predict_layers"):
        _in_text(config, num_nextn_predict_layers=side.stages)
    if "eos_token_id" in text:
        _in_text(config, eos_token_id=eos)
    return config


NEEDED = ("rope_scaling", "swiglu_limit", "compress_ratios")
"""Keys of config.json without which every runtime assumes something else, or fails."""


_HALF_TYPE = ("torch_dtype", "dtype")
"""The older and the newer name of transformers for the type of a model's tensors."""


def _in_text(config: dict[str, Any], **values: Any) -> None:
    """Sets values in the section that describes the language model; the sections themselves are the source's."""
    if "text_config" in config:
        config["text_config"] = {**config["text_config"], **values}
    else:
        config.update(values)


def no_side_files(side: SideInput) -> tuple[SideFile, ...]:  # noqa: ARG001 - the signature of `side_files`
    """Returns a GGUF says everything in its own header."""
    return ()


def plain_side_files(side: SideInput, **more: Any) -> tuple[SideFile, ...]:
    """Returns the companions of a stock MLX bundle: config (and `more` keys of it), stop tokens, tokenizer, encoding
    folder.

    Raises RecipeError T020, T021 or T026 where the source lacks a file or token.
    """
    eos = stop_ids(side)
    config = mlx_config(side, eos) | more
    words = load(side, "tokenizer_config.json")
    return (
        SideFile("config.json", dump(config)),
        SideFile("generation_config.json", dump({**load(side, "generation_config.json"), "eos_token_id": eos})),
        SideFile("tokenizer_config.json", dump(words | ({"eos_token_id": eos} if "eos_token_id" in words else {}))),
        *copies(side),
    )
