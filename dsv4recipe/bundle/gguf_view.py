"""Floor 3, bundle. Shows a GGUF file as a bundle: its tensors by stem, and what its key/values say of config.json and
tokenizer.json. Reads its header, never weights."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dsv4recipe.bundle.recognise import recognise
from dsv4recipe.bundle.view import BundleView
from dsv4recipe.checkpoint.graph import Group
from dsv4recipe.checkpoint.other_things import refuse_pointer
from dsv4recipe.errors import RecipeError, Where
from dsv4recipe.formats import Format
from dsv4recipe.headers.gguf import GgufHeader, read_gguf_header
from dsv4recipe.headers.safetensors import Header, TensorEntry
from dsv4recipe.runtimes.common.gguf_metadata import ARCHITECTURE, config_of, tokenizer_of
from dsv4recipe.runtimes.common.target import Target

_HUB = "https://huggingface.co/"


class GgufView(BundleView):
    """The view of a GGUF file: a stack is one tensor with an axis for its experts."""

    @property
    def globals_first(self) -> bool:
        return True

    def suits(self, target: Target) -> bool:
        return target.engine is not None

    def format_of(self, group: Group, parts: Mapping[str, TensorEntry], stack: int) -> Format:  # noqa: ARG002
        return recognise(parts, group.shape, 1, 0, gguf=True)


def open_gguf(path: Path) -> GgufView:
    """Returns the view of a file. Raises RecipeError C065 (a git-lfs pointer), C060 to C062 (its header) and V020
    (another architecture)."""
    refuse_pointer(path)
    header = read_gguf_header(path)
    found = header.value("general.architecture")
    if found != ARCHITECTURE:
        message = f"the architecture of this file is {found!r:.80}; known: {ARCHITECTURE}"
        raise RecipeError("V020", message, Where(str(path)))
    tensors: dict[str, dict[str, TensorEntry]] = {}
    for entry in header.tensors:
        stem, dot, word = entry.name.rpartition(".")
        tensors.setdefault(stem or entry.name, {})[dot + word if stem else ""] = entry
    values = {key: pair.value for key, pair in header.pairs.items()}
    digest = hashlib.sha256("".join(f"{e.name} {e.dtype} {e.shape}\n" for e in header.tensors).encode()).hexdigest()
    shard = Header(path.name, header.size, digest, header.data_start, header.tensors, ())
    return GgufView(
        root=path,
        shards=(shard,),
        tensors=tensors,
        shard_of=dict.fromkeys((entry.name for entry in header.tensors), path.name),
        json={"config.json": config_of(values), "tokenizer.json": tokenizer_of(values)},
        values=values,
        origin=(_model(values), str(values.get("general.base_model.0.version") or "")),
    )


def _model(values: Mapping[str, Any]) -> str:
    """Returns ORG/NAME of the checkpoint, if the file names it."""
    found = str(values.get("general.base_model.0.repo_url") or "")
    return found.removeprefix(_HUB) if found.startswith(_HUB) and found.count("/") == 4 else ""


def metadata_differences(before: Path, after: Path) -> tuple[tuple[str, str, str], ...]:
    """Returns (what, before, after) of every key that differs between two files."""
    old, new = (read_gguf_header(path) for path in (before, after))
    return tuple(
        (f"key {key}", _short(old, key), _short(new, key))
        for key in sorted({*old.pairs, *new.pairs})
        if old.pairs.get(key) != new.pairs.get(key)
    )


def _short(header: GgufHeader, key: str) -> str:
    pair = header.pairs.get(key)
    if pair is None:
        return "absent"
    if isinstance(pair.value, tuple):
        return f"{len(pair.value):,} values ({pair.kind})"
    text = f"{pair.value} ({pair.kind})"
    return text if len(text) <= 60 else f"{text[:57]}…"
