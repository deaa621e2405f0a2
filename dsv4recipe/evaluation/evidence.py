"""Floor 4, evaluation. The evidence file: what was measured, bound by digests to plan, source and text. Reads one file.

Whoever shows a figure shows what it was measured on: `sentence` writes both, and there is no way to get one alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dsv4recipe.errors import RecipeError, Where
from dsv4recipe.headers.strict_json import read_object
from dsv4recipe.plan.model import Plan

FORMAT_VERSION = 1
KIND = "quality"
_LIMIT = 64 << 20
_NUMBERS = ("nll", "perplexity", "same_top", "delta_nll")


@dataclass(frozen=True)
class Evidence:
    """A quality.json that was read. `data` is all of it."""

    data: Mapping[str, Any]

    @property
    def plan(self) -> str:
        """Returns the digest of the plan that was measured."""
        return str(self.data["a"].get("plan") or "")

    @property
    def sentence(self) -> str:
        """ "KL 0.00243 (95 % 0.0019 to 0.0030), same top token 97.5 %, … measured on …"."""
        kl, text = self.data["kl"], self.data["text"]
        names = ", ".join(each["name"] for each in text["files"])
        width = f" (95 %: {kl['interval'][0]:.3g} to {kl['interval'][1]:.3g})" if kl["interval"] else ""
        figures = (
            f"KL {kl['mean']:.3g}{width}, ΔNLL {self.data['delta_nll']:+.3g}, "
            f"same top token {100 * self.data['same_top']:.1f} %"
        )
        return f"{figures}, to {self.of}, on {self.data['tokens']:,} tokens of {names}; measured on {self.on}"

    @property
    def of(self) -> str:
        """Returns what it was compared with."""
        other = self.data.get("b")
        return "the source" if other is None else str(other["name"])

    @property
    def on(self) -> str:
        """Returns what the figures were measured on: the checkpoint, and how the numbers were made."""
        source = self.data["source"]
        made = self.data.get("runtime")
        way = f"by the runtime {made}" if made else "by the reference implementation"
        return f"{source['name']} (headers {source['header_digest'][:12]}), {way}"


def load_evidence(path: Path) -> Evidence:
    """Reads a file that `evaluate -o` wrote. Raises RecipeError M030 where it is none."""
    data = read_object(path, _LIMIT, path.name, "M030")[0]
    where = Where(str(path))
    hint = "dsv4recipe evaluate … -o FILE writes one"
    if data.get("kind") != KIND or data.get("format_version") != FORMAT_VERSION:
        raise RecipeError("M030", "not an evidence file of `evaluate`", where, hint)
    whole = (
        all(isinstance(data.get(key), dict) for key in ("a", "source", "text", "kl"))
        and all(isinstance(data.get(key), int | float) for key in _NUMBERS)
        and isinstance(data["kl"].get("mean"), int | float)
        and isinstance(data["source"].get("header_digest"), str)
        and isinstance(data["text"].get("files"), list)
    )
    if not whole:
        raise RecipeError("M030", "this evidence file lacks figures or digests: it was changed", where, hint)
    return Evidence(data)


def check_evidence(evidence: Evidence, plan: Plan, path: Path) -> None:
    """Raises RecipeError M031 where the evidence is of another plan or another checkpoint."""
    where = Where(str(path))
    if evidence.plan != plan.digest:
        message = f"it was measured on plan {evidence.plan[:12] or 'unknown'}, this plan is {plan.digest[:12]}"
        raise RecipeError("M031", message, where, "evaluate this recipe against this source, and give that file")
    if evidence.data["source"]["header_digest"] != plan.source.header_digest:
        raise RecipeError("M031", "it was measured on another checkpoint than the one that is built", where)
