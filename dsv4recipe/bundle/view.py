"""Floor 3, bundle. Shows any bundle through its headers and JSON files. Reads headers, never weights."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dsv4recipe.bundle.manifest import INDEX_NAME
from dsv4recipe.bundle.recognise import recognise
from dsv4recipe.checkpoint.graph import Group
from dsv4recipe.checkpoint.other_things import refuse_pointers
from dsv4recipe.errors import Diagnostic, RecipeError, Where
from dsv4recipe.formats import Format
from dsv4recipe.headers.safetensors import Header, TensorEntry, read_header
from dsv4recipe.headers.strict_json import read_object
from dsv4recipe.paths import left_by_tools
from dsv4recipe.runtimes.common.names import split_name
from dsv4recipe.runtimes.common.target import Target

_SHARD = re.compile(r"model-\d{5}-of-\d{5}\.safetensors|model\.safetensors")
_JSON_LIMIT = 64 << 20


_USUAL_SEED = 42
"""What MXTQ's signs are drawn from where config.json does not say it."""


@dataclass(frozen=True)
class BundleView:
    """A bundle. `tensors` maps a disk stem to its parts by suffix ("" for a bare parameter). `json` holds the small
    JSON files or, for a GGUF, what its key/values (`values`) say of them. `origin` is the model and revision that the
    file states."""

    root: Path
    shards: tuple[Header, ...]
    tensors: Mapping[str, Mapping[str, TensorEntry]]
    shard_of: Mapping[str, str]
    json: Mapping[str, Mapping[str, Any]]
    values: Mapping[str, Any] = field(default_factory=dict)
    origin: tuple[str, str] = ("", "")

    @property
    def config(self) -> Mapping[str, Any]:
        return self.json["config.json"]

    @property
    def globals_first(self) -> bool:
        """Whether such a bundle holds the tensors outside of layers before the others."""
        return False

    def suits(self, target: Target) -> bool:
        """Whether the target's bundles are of this container."""
        return target.engine is None

    def format_of(self, group: Group, parts: Mapping[str, TensorEntry], stack: int) -> Format:
        """Returns the format in which the parts under one stem, of so many members, store a group or one of its
        experts."""
        seed = self.config.get("mxtq_seed", _USUAL_SEED)
        return recognise(parts, group.source.shape, stack, seed if type(seed) is int else _USUAL_SEED)


def open_folder(root: Path) -> tuple[BundleView, list[Diagnostic]]:
    """Returns the view and what is wrong with files, headers and index (V020 to V024). Raises RecipeError V020 for a
    folder without config.json or shards."""
    refuse_pointers(root)
    names = sorted(path.name for path in root.glob("*.safetensors") if _SHARD.fullmatch(path.name))
    if not names or not (root / "config.json").is_file():
        lacks = [] if (root / "config.json").is_file() else ["config.json"]
        lacks += [] if names else ["shards (model.safetensors or model-*.safetensors)"]
        raise RecipeError("V020", f"this is not a bundle: it has no {' and no '.join(lacks)}", Where(str(root)))
    found: list[Diagnostic] = []
    headers: list[Header] = []
    for name in names:
        try:
            headers.append(read_header(root / name, name))
        except RecipeError as error:
            found += error.diagnostics
    tensors: dict[str, dict[str, TensorEntry]] = {}
    shard_of: dict[str, str] = {}
    for header in headers:
        for entry in header.tensors:
            if entry.name in shard_of:
                message = f"{entry.name} is in both {shard_of[entry.name]} and {header.file}"
                found.append(Diagnostic("V021", message, Where(str(root / header.file), subject=entry.name)))
            shard_of[entry.name] = header.file
            stem, suffix = split_name(entry.name)
            tensors.setdefault(stem, {})[suffix] = entry
    files: dict[str, Mapping[str, Any]] = {}
    for path in sorted(path for path in root.glob("*.json") if not left_by_tools(path.name)):
        try:
            files[path.name] = read_object(path, _JSON_LIMIT, path.name, "V022")[0]
        except RecipeError as error:
            if path.name == "config.json":
                raise
            found += error.diagnostics
    weight_map = files.get(INDEX_NAME, {}).get("weight_map", {})
    if not isinstance(weight_map, dict) or not all(isinstance(file, str) for file in weight_map.values()):
        message = f"{INDEX_NAME} must hold weight_map, an object that maps tensors to file names"
        found.append(Diagnostic("V022", message, Where(str(root / INDEX_NAME)), "copy the file again"))
        del files[INDEX_NAME]
    view = BundleView(root, tuple(headers), tensors, shard_of, files)
    return view, found + _numbering(view) + _index(view)


def _numbering(view: BundleView) -> list[Diagnostic]:
    """Returns V024 for shards of two sets, or a missing number, because loaders glob and load whatever is there."""
    totals = {header.file.rsplit("-of-", 1)[-1] for header in view.shards}
    if len(totals) > 1:
        files = ", ".join(header.file for header in view.shards[:6])
        hint = "remove the shards that belong to another build"
        return [Diagnostic("V024", f"there are shards of more than one set: {files}", Where(str(view.root)), hint)]
    text = totals.pop().removesuffix(".safetensors") if totals else ""
    if text.isdecimal() and int(text) != len(view.shards):
        message = f"there are {len(view.shards)} shards, but their names say {int(text)}"
        return [Diagnostic("V024", message, Where(str(view.root)), "copy the missing shards")]
    return []


def _index(view: BundleView) -> list[Diagnostic]:
    where = Where(str(view.root / INDEX_NAME))
    index = view.json.get(INDEX_NAME)
    weight_map = index.get("weight_map") if index is not None else None
    if not isinstance(weight_map, dict):
        return [Diagnostic("V023", "there is no index, so runtimes that follow it find nothing", where)]
    if weight_map == view.shard_of:
        return []
    odd = sorted(name for name in {*weight_map, *view.shard_of} if weight_map.get(name) != view.shard_of.get(name))
    message = f"the index and the shards disagree about {len(odd):,} tensors, such as {odd[0]}"
    hint = "correct this, because runtimes that follow the index and those that glob would load different tensors"
    return [Diagnostic("V023", message, where, hint)]
