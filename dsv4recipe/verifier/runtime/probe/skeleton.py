"""Floor 4, verifier (child side). Compares the runtime's own unfilled model class with the bundle's names and widths.

It replays both generations of mlx-lm's quantization predicate over the real module tree, so that a bundle is judged for
the installed mlx-lm and for the other one. All arrays stay lazy.
"""

from __future__ import annotations

from typing import Any

import mlx.core as mx

from dsv4recipe.runtimes.common.predicate import MODES, own_entry, whole

from .adapter import Adapter
from .contents import Contents
from .tree import leaf_modules, parameter_names

Setting = dict[str, Any]  # {"bits": int, "group_size": int, "mode": str}
RULES = ("mlx-lm 0.31", "mlx-lm 0.32")


def installed_rule() -> str:
    """Returns which of RULES the installed mlx-lm follows."""
    import mlx_lm.utils

    return RULES[1] if hasattr(mlx_lm.utils, "infer_quant_config") else RULES[0]


class Skeleton:
    """The module tree and sanitized tensor names of one bundle.

    `shapes` is the logical weight shape by path of each module that can be quantized. `weights` are post-sanitize,
    lazy.
    """

    def __init__(self, contents: Contents, runtime: Adapter):
        self.contents = contents
        self.model = runtime.build(contents.config)
        self.weights: dict[str, mx.array] = self.model.sanitize(dict(contents.plain))
        self.shapes: dict[str, tuple[int, ...]] = {
            path: module.weight.shape for path, module in leaf_modules(self.model) if hasattr(module, "to_quantized")
        }
        quantization = contents.config.get("quantization")
        self.parameters = 0  # of the wrapped model, once `names` has replayed the wrapping
        self.quantization: dict[str, Any] = quantization if isinstance(quantization, dict) else {}

    def packed(self, path: str) -> Setting | None:
        """Returns how the tensors of `path` are packed, read from their shapes, or None if they are not packed.

        A setting with "broken" says what is wrong.
        """
        scales, weight = self.weights.get(f"{path}.scales"), self.weights.get(f"{path}.weight")
        if scales is None or weight is None:
            return None
        width, columns, groups = self.shapes[path][-1], weight.shape[-1], scales.shape[-1]
        if not groups or width % groups or columns * 32 % width:
            return {"broken": f"{columns} words and {groups} scales a row do not divide {width} inputs"}
        bits, group_size = columns * 32 // width, width // groups
        if scales.dtype != mx.uint8:
            mode = "affine" if f"{path}.biases" in self.weights else ""
            reason = "float scales without biases"
        else:
            mode = MODES.get((bits, group_size), "")
            reason = f"byte scales with {bits} bits, group size {group_size}"
        return _setting(bits, group_size, mode) if mode else {"broken": reason}

    def wrapped(self, path: str, rule: str) -> Setting | None:
        """Returns what mlx-lm of that generation makes of the module: a setting, or None for an unquantized module."""
        found, entry = own_entry(self.quantization, (path,))
        if found:
            return entry
        if f"{path}.scales" not in self.weights:
            return None
        return whole(self.quantization) if rule == RULES[0] else self.packed(path)

    def misread(self) -> list[dict[str, Any]]:
        """Returns modules that a rule would wrap differently from how their tensors are packed."""
        found = []
        for path in self.shapes:
            if path in self.contents.tq:
                continue
            packed = self.packed(path)
            for rule in RULES:
                wrapped = self.wrapped(path, rule)
                if wrapped != packed or (packed and "broken" in packed):
                    found.append({"rule": rule, "path": path, "wrapped": wrapped, "packed": packed})
        return found

    def overrides(self) -> dict[str, Any]:
        """Returns each override key of config.json: it names a module (`hit`), a tensor on `disk`, or neither.

        vMLX's shape inference reads keys of disk stems. Other runtimes read the spellings of the other known dialects.
        Nothing reads `missed`.
        """
        stems = {name.rpartition(".")[0] for name in self.contents.names}
        hit, disk, dialect, missed = [], 0, 0, []
        for key, value in self.quantization.items():
            if not isinstance(value, (dict, bool)):
                continue
            if key in self.shapes:
                hit.append(key)
            elif key in stems:
                disk += 1
            elif _house_spelling(key) in self.shapes:
                dialect += 1
            elif isinstance(value, dict) and "bits" in value:
                missed.append(key)
        return {"hit": len(hit), "disk": disk, "dialect": dialect, "missed": missed}

    def names(self) -> tuple[list[str], list[str]]:
        """Returns (missing, unexpected): parameters that no tensor fills, tensors that no parameter takes."""
        rule = installed_rule()
        for_real = {path: self.wrapped(path, rule) for path in self.shapes if path not in self.contents.tq}
        wanted = parameter_names(self.model)
        wanted -= {f"{path}.weight" for path in self.contents.tq}
        for path, setting in for_real.items():
            if setting is not None:
                wanted.add(f"{path}.scales")
                if setting.get("mode", "affine") == "affine":
                    wanted.add(f"{path}.biases")
        self.parameters = len(wanted)
        unexpected = sorted(set(self.weights) - wanted) + self.contents.stray
        unexpected += sorted(n for path, names in self.contents.tq.items() if path not in self.shapes for n in names)
        return sorted(wanted - set(self.weights)), unexpected


def _setting(bits: Any, group_size: Any, mode: Any) -> Setting:
    return {"bits": bits, "group_size": group_size, "mode": mode}


def _house_spelling(key: str) -> str:
    """Returns a key of another dialect in this runtime's spelling."""
    key = key.removeprefix("language_model.").replace(".attn.", ".self_attn.").replace(".ffn.", ".mlp.")
    return key.replace("embed_tokens", "embed")
