"""Floor 4, evaluation. Turns logits into scores: each token's loss, KL to another model, and agreement of the top
token.

Logits of all models are computed for a few tokens at a time and dropped, so no [tokens, vocabulary] array ever exists.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsv4recipe.evaluation.statistics import Values, figures
from dsv4recipe.evaluation.text import Text

Logits = Callable[[int, int], Any]
"""Returns float32 [tokens, vocab] of tokens [first, last), as a torch tensor or a numpy array."""
_CELLS = 1 << 22


@dataclass(frozen=True)
class Scores:
    """The scores of one model, per scored token: its loss in nats, and whether its top token is the true one. `to`
    holds, for each other model, KL(that model ‖ this one) in nats, and whether both have the same top token."""

    loss: Values
    right: NDArray[np.bool_]
    to: Mapping[str, tuple[Values, NDArray[np.bool_]]]


def scores(torch: Any, models: Mapping[str, Logits], text: Text, pairs: list[tuple[str, str]]) -> dict[str, Scores]:
    """Returns the scores of each model on the scored tokens; `pairs` are (model, the model that it is compared
    with)."""
    ids = np.concatenate(text.ids)
    places = np.flatnonzero(text.scored)
    count = len(places)
    loss = {name: np.empty(count) for name in models}
    right = {name: np.empty(count, bool) for name in models}
    gaps = {pair: (np.empty(count), np.empty(count, bool)) for pair in pairs}
    chunk, at = 0, 0
    total = len(ids)
    while at < total:
        last = min(total, at + (chunk or 64))
        inside = places[(places >= at) & (places < last)]
        if len(inside):
            start = int(np.searchsorted(places, inside[0]))
            part = slice(start, start + len(inside))
            logs, top = {}, {}
            for name, model in models.items():
                values = torch.as_tensor(model(at, last))[inside - at]
                values = values if values.device.type == "mps" else values.double()
                chunk = max(1, _CELLS // values.shape[-1])
                logs[name] = torch.log_softmax(values, -1)
                top[name] = logs[name].argmax(-1).cpu().numpy()
                target = torch.as_tensor(ids[inside + 1], device=values.device)[:, None]
                loss[name][part] = -logs[name].gather(-1, target)[:, 0].cpu().numpy()
                right[name][part] = top[name] == ids[inside + 1]
            for name, other in pairs:
                gap, same = gaps[name, other]
                p = logs[other]
                gap[part] = (p.exp() * (p - logs[name])).sum(-1).cpu().numpy()
                same[part] = top[name] == top[other]
        at = last
    return {
        name: Scores(loss[name], right[name], {other: gaps[one, other] for one, other in pairs if one == name})
        for name in models
    }


def owners(text: Text) -> NDArray[np.int64]:
    """Returns the number of the sequence of each scored token."""
    number = np.repeat(np.arange(len(text.sequences)), [len(sequence.ids) for sequence in text.sequences])
    return np.asarray(number[text.scored], np.int64)


def alone(found: Scores, text: Text) -> dict[str, Any]:
    """Returns the figures of one model by itself: loss, perplexity, and the share of chats whose whole answer consists
    of top tokens, which is what greedy decoding gives."""
    owner = owners(text)
    loss = figures(found.loss, owner)
    data: dict[str, Any] = {
        "nll": loss["mean"],
        "nll_interval": loss["interval"],
        "perplexity": float(np.exp(loss["mean"])),
        "perplexity_interval": loss["interval"] and [float(np.exp(edge)) for edge in loss["interval"]],
    }
    chats = [number for number, sequence in enumerate(text.sequences) if sequence.answer]
    if chats:
        wrong = np.bincount(owner[~found.right], minlength=len(text.sequences))
        data["answers"] = {"chats": len(chats), "exact": int((wrong[chats] == 0).sum())}
    return data


def compared(found: Scores, other: Scores, name: str, text: Text) -> dict[str, Any]:
    """Returns the figures of a model compared with the one called `name`: KL, same top token, difference in loss."""
    owner = owners(text)
    gap, same = found.to[name]
    mean = figures(gap, owner)
    change = figures(found.loss - other.loss, owner)
    return {
        "kl": {
            "mean": mean["mean"],
            "interval": mean["interval"],
            "median": float(np.median(gap)),
            "p99": float(np.quantile(gap, 0.99)),
            "max": float(gap.max()),
        },
        "same_top": float(same.mean()),
        "delta_nll": change["mean"],
        "delta_nll_interval": change["interval"],
    }
