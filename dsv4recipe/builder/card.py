"""Floor 4, builder. Writes the model card: front matter, and what the plan says in words that a reader can check.
Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

from dsv4recipe.advice.fit import Fit
from dsv4recipe.builder.card_sections import exact, loading, machines, making, running, unchecked
from dsv4recipe.builder.front_matter import front_matter
from dsv4recipe.hub.licenses import license_fields
from dsv4recipe.plan.ledger import ledger
from dsv4recipe.plan.model import Plan
from dsv4recipe.plan.provenance import claimed, in_words
from dsv4recipe.units import counted, human_size
from dsv4recipe.version import VERSION

_HUB = "https://huggingface.co"


def card(
    plan: Plan, library: str, recipe_text: str, files: Collection[str] = (), quality: str = "", fits: Sequence[Fit] = ()
) -> str:
    """Returns README.md of the bundle, which has `files` beside it. It says nothing that was not computed or measured:
    `quality` is what was measured, with what it was measured on; `fits` says how the plan fits machines."""
    recipe = plan.recipe
    model, _ = claimed(plan.source)
    rows = [
        f"| {row.role} | {row.format}{' (exact)' if row.lossless else ''} | {row.modules:,} | {row.bytes:,} "
        f"| {row.bits_per_weight:.3f} |"
        for row in ledger(plan.modules)
    ]
    return "\n".join(
        [
            _front(plan, library, files),
            "",
            f"# {model.rsplit('/', 1)[-1]}: {recipe['name']}" if model else f"# {recipe['name']}",
            "",
            recipe["summary"],
            "",
            f"* Source: {in_words(plan)}",
            f"* Runtime: {plan.target['runtime']}; experts {plan.target['experts']}; MTP {plan.target['mtp']}.",
            f"* Tensors: {human_size(plan.tensor_bytes)}, {plan.bits_per_weight} bits per weight, in "
            f"{counted(len(plan.shards), 'shard')} (computed before the build, and exactly what the files hold).",
            *_weighed(plan),
            f"* {exact(plan)}",
            f"* Quality: {quality or 'not measured'}.",
            "",
            *running(plan),
            *machines(fits),
            *loading(plan),
            "## What each tensor became",
            "",
            "| role | format | modules | bytes | bits per weight |",
            "|---|---|---:|---:|---:|",
            *rows,
            "",
            *making(plan),
            *unchecked(quality),
            "## The recipe",
            "",
            "```yaml",
            recipe_text.rstrip("\n"),
            "```",
            "",
            f"Built by dsv4recipe {VERSION}; the same recipe and source give the same bytes. Plan `{plan.digest}`.",
            "",
        ]
    )


def _front(plan: Plan, library: str, files: Collection[str]) -> str:
    """Returns what the hub filters by: licence, library, base model and relation, bits."""
    recipe, origin = plan.recipe, plan.source.origin or {}
    model, _ = claimed(plan.source)
    base = {"base_model": origin["model"]} if origin else {}
    base |= {"base_model_relation": "quantized"} if model else {}
    of = origin.get("model", recipe["source"]["model"])
    link = next((name for name in ("LICENSE", "LICENSE.txt") if name in files), f"{_HUB}/{of}")
    tags = (library, _bits(plan), "quantized", "dsv4recipe", plan.target["runtime"], recipe["name"])
    return front_matter(
        license_fields(origin.get("license", recipe["license"]), link)
        | {
            "library_name": library,
            **base,
            "pipeline_tag": "text-generation",
            "tags": list(dict.fromkeys(tags)),
        }
    )


def _bits(plan: Plan) -> str:
    """Returns the width that most weights have, as the hub's tag of it."""
    weights: Counter[int] = Counter()
    for module in plan.modules:
        weights[module.format.nominal_bits] += module.weights
    return f"{max(weights, key=lambda bits: (weights[bits], -bits))}-bit"


def _weighed(plan: Plan) -> list[str]:
    if plan.importance is None:
        return []
    return [f"* Errors weighed by an importance file ({plan.importance.format}), sha256 `{plan.importance.sha256}`."]
