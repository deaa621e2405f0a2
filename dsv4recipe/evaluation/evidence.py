"""Floor 4, evaluation. Reads the evidence file: what was measured, bound by digests to plan, source and text.

A figure is never shown without what it was measured on: `sentence` writes both, and neither can be had alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dsv4recipe.errors import RecipeError, Where
from dsv4recipe.evaluation.yardstick import YARDSTICK, is_yardstick
from dsv4recipe.headers.strict_json import read_object

if TYPE_CHECKING:
    from dsv4recipe.plan.model import Plan

FORMAT_VERSION = 2
"""2 adds the digests of the recipe and of some weights, and the runtime. Files of version 1 are read, too."""
KIND = "quality"
NAME = "quality.json"
_LIMIT = 64 << 20
_NUMBERS = ("nll", "perplexity", "same_top", "delta_nll")
_SAID = ("name", "summary", "license", "source")
"""What a recipe says that changes no number of a bundle."""


@dataclass(frozen=True)
class Evidence:
    """A quality.json that was read; `data` is its whole content."""

    data: Mapping[str, Any]

    @property
    def plan(self) -> str:
        """Returns the digest of the plan that was measured."""
        return str(self.data["a"].get("plan") or "")

    @property
    def recipe(self) -> str:
        """Returns the digest of the recipe's rules (`recipe_digest`); "" where it is not known."""
        return str(self.data["a"].get("recipe_digest") or "")

    @property
    def short(self) -> str:
        """ "KL 0.00243 on the yardstick, a small trained DeepSeek-V4": one figure with what it was measured on."""
        return f"KL {self.data['kl']['mean']:.3g} {self._to}on {self.checkpoint}"

    @property
    def sentence(self) -> str:
        """Returns a line such as "KL 0.00243 (95 % 0.0019 to 0.0030), same top token 97.5 %, … measured on …"."""
        return f"{self._figures}; measured on {self.on}"

    def sentence_for(self, plan: Plan) -> str:
        """`sentence` as it is shown with a plan: it says "the model itself" where that plan was measured, and else that
        another checkpoint was."""
        if self.is_of(plan):
            return f"{self._figures}; measured on the model itself ({self._bound}), {self._way}"
        return f"{self._figures}; measured on {self.on}, and not on this model"

    def is_of(self, plan: Plan) -> bool:
        """Whether this very plan was measured, for the checkpoint that it is for."""
        return self.plan == plan.digest and self.data["source"]["header_digest"] == plan.source.header_digest

    @property
    def of(self) -> str:
        """Returns what it was compared with."""
        other = self.data.get("b")
        return "the source" if other is None else str(other["name"])

    @property
    def on(self) -> str:
        """Returns what the figures were measured on: the checkpoint, and how the numbers were made."""
        return f"{self.checkpoint}, {self._way}"

    @property
    def checkpoint(self) -> str:
        """Returns the checkpoint that was measured. The yardstick is told by its weights, not by its name."""
        return YARDSTICK if is_yardstick(self.data["source"]) else f"{self.data['source']['name']} ({self._bound})"

    @property
    def _bound(self) -> str:
        return f"headers {self.data['source']['header_digest'][:12]}"

    @property
    def _to(self) -> str:
        return "" if self.data.get("b") is None else f"to {self.of} "

    @property
    def _way(self) -> str:
        made, how = self.data.get("runtime"), self.data.get("how")
        way = f"by the runtime {made['name']}" if made else "by the reference implementation"
        return f"{way} ({how})" if how else way

    @property
    def _figures(self) -> str:
        kl, text = self.data["kl"], self.data["text"]
        names = ", ".join(each["name"] for each in text["files"])
        width = f" (95 %: {kl['interval'][0]:.3g} to {kl['interval'][1]:.3g})" if kl["interval"] else ""
        figures = (
            f"KL {kl['mean']:.3g}{width}, ΔNLL {self.data['delta_nll']:+.3g}, "
            f"same top token {100 * self.data['same_top']:.1f} %"
        )
        return f"{figures}, to {self.of}, on {self.data['tokens']:,} tokens of {names}"


def recipe_digest(recipe: Mapping[str, Any]) -> str:
    """Returns the sha256 of what a recipe does: target and rules, without names and notes. Recipes that differ in words
    alone have the same."""
    kept = {key: value for key, value in recipe.items() if key not in _SAID}
    kept["rules"] = [
        {key: value for key, value in rule.items() if key not in ("id", "note", "allow")} for rule in recipe["rules"]
    ]
    return hashlib.sha256(json.dumps(kept, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def load_evidence(path: Path) -> Evidence:
    """Reads a file that `evaluate -o` wrote. Raises RecipeError M030 if it is not one."""
    return evidence_of(read_object(path, _LIMIT, path.name, "M030")[0], path)


def evidence_of(data: Mapping[str, Any], path: Path) -> Evidence:
    """Returns the evidence that a JSON object is. Raises RecipeError M030 where it is none."""
    where = Where(str(path))
    hint = "dsv4recipe evaluate … -o FILE writes one"
    if data.get("kind") != KIND or data.get("format_version") not in (1, FORMAT_VERSION):
        raise RecipeError("M030", "this is not an evidence file of `evaluate`", where, hint)
    if not _whole(data):
        raise RecipeError("M030", "this evidence file lacks figures or digests, so it was changed", where, hint)
    return Evidence(data)


def _whole(data: Mapping[str, Any]) -> bool:
    if not all(isinstance(data.get(key), dict) for key in ("a", "source", "text", "kl")):
        return False
    files, interval = data["text"].get("files"), data["kl"].get("interval")
    return (
        all(isinstance(data.get(key), int | float) for key in (*_NUMBERS, "tokens"))
        and isinstance(data["kl"].get("mean"), int | float)
        and all(isinstance(data["source"].get(key), str) for key in ("header_digest", "name"))
        and isinstance(files, list)
        and all(isinstance(file, dict) and isinstance(file.get("name"), str) for file in files)
        and (interval is None or (isinstance(interval, list) and [type(edge) for edge in interval] == [float, float]))
        and (data.get("b") is None or (isinstance(data["b"], dict) and isinstance(data["b"].get("name"), str)))
        and (data.get("runtime") is None or (isinstance(data["runtime"], dict) and "name" in data["runtime"]))
    )
