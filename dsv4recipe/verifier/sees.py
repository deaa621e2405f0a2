"""Floor 4, verifier. What a user of the runtime sees of a finding, by code. Pure data, as docs/errors/V.md has it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from dsv4recipe.errors import Diagnostic

SEES: Mapping[str, str] = {
    "V021": "one of the two wins, in silence",
    "V023": "runtimes that follow the index and those that glob load different tensors",
    "V024": "loaders that glob merge a stale shard in silence",
    "V101": "ignored in silence; the module it was meant for runs on random weights",
    "V102": "a strict load error; a loader that is not strict runs on random weights: fluent nonsense",
    "V103": "a runtime that believes it looks for a drafter that is not there, or carries one that it never uses",
    "V104": "a load error: experts cannot be stacked",
    "V105": "KeyError in load_jangtq_model",
    "V106": "a load error: shapes differ",
    "V107": "vMLX refuses the bundle; elsewhere drift and repetition in long contexts",
    "V108": "slow: the residual stream runs in float32, in silence",
    "V109": "vMLX rewrites the shard on first load, and its hash changes",
    "V110": "load_jangtq_model fails: saw non-routed TQ key",
    "V111": "the runtime reads memory that is no expert: a crash, or garbage text",
    "V112": "the runtime reads memory that is no embedding: a crash, or garbage text",
    "V120": "a strict load error: packed tensors are taken for plain ones",
    "V121": "loaders take another branch: KeyError, or another width",
    "V122": "an mxfp4 module is taken for affine: garbage text",
    "V123": "the entry is ignored in silence; its module falls to the global width",
    "V124": "a strict load error; a loader that is not strict stops at the first token",
    "V125": "Rapid-MLX is slower than it could be; loaders that must fuse fail",
    "V126": "generation runs on into a user turn of its own",
    "V127": "vMLX takes the bundle for another kind, or assumes group size 64",
    "V128": "the wrong loader is chosen",
    "V129": "the wrong loader is chosen; the Swift runtime has no codebook",
    "V130": "wrong positions or activations: garbage in long contexts",
    "V131": "vMLX refuses the bundle: it cannot build prompts",
    "V132": "the runtime refuses the bundle, or repeats BOS tokens",
    "V133": "a load error with some versions of MLX",
    "V134": "quantizing again drops the entry in silence",
    "V135": "loaders that glob merge it in silence",
    "V136": "noise from every expert in the Swift runtime",
    "V137": "a load error, or noise from the expert",
    "V138": "vMLX's release audit refuses the bundle",
    "V139": "noise from every expert",
    "V140": "vMLX guesses its width: a shape error at the first token, or garbage text",
    "V141": "strangers learn paths of the machine that built it",
    "V142": "people choose the bundle for a width that it does not have",
    "V143": "the load fails",
    "V160": "llama.cpp refuses the file: wrong number of tensors",
    "V161": "the engine refuses the file",
    "V162": "the engine refuses the file, or scales positions linearly in silence",
    "V163": "ds4 refuses the file; llama.cpp reads it",
    "V164": "the engine refuses the file, or cannot build prompts",
    "V302": "other answers than the source's, without a message",
    "V303": "other answers than the source's, without a message",
    "V304": "lower quality than the format gives",
    "V307": "garbage text: these are not the numbers of this tensor",
    "V308": "NaN logits: garbage, or one token over and over",
}


def told(findings: Iterable[Diagnostic]) -> Iterator[Diagnostic]:
    """Returns the findings, each with what a user sees of it."""
    return (replace(f, sees=SEES.get(f.code, "")) if not f.sees else f for f in findings)
