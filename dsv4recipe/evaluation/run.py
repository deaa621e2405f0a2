"""Floor 4, evaluation. Runs the models through the forward pass, scores them, and measures each part of a model.

The source runs first. Its states before a layer are kept for the parts that begin to differ there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsv4recipe.checkpoint.graph import Checkpoint, Group
from dsv4recipe.evaluation.parts import first_layer, parts
from dsv4recipe.evaluation.score import Logits, Scores, alone, compared, owners, scores
from dsv4recipe.evaluation.statistics import figures
from dsv4recipe.evaluation.text import Text
from dsv4recipe.forward.run import Final, Pass, Settings, advance
from dsv4recipe.forward.states import Kept
from dsv4recipe.forward.weights import Mixed, SourceWeights, Weights

Told = Callable[[str, int, int], None]
"""Receives (what runs, layers done, all layers)."""
SOURCE = "source"


@dataclass(frozen=True)
class Named:
    """A model that is measured: its name in the result ("a", "b") and its numbers, None for the source's own. `logits`
    replace the forward pass if a real runtime has made them."""

    name: str
    weights: Weights | None = None
    logits: Logits | None = None


class Evaluation:
    """The models of one evaluation over one text. It is a context manager that releases the states at the end.

    `kept` gives, for each model, the place of the states from which a killed run continues.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        text: Text,
        settings: Settings | None = None,
        kept: Callable[[str], Kept] | None = None,
        told: Told = lambda what, done, total: None,
    ) -> None:
        self.checkpoint = checkpoint
        self.text = text
        self.kept = kept
        self.told = told
        self.run = Pass(checkpoint, text.ids, settings)
        self.exact = SourceWeights(checkpoint)
        self.before: dict[int, NDArray[np.float32]] = {}
        self.held: list[Kept] = []

    def __enter__(self) -> Evaluation:
        return self

    def __exit__(self, *_: object) -> None:
        self.run.room.close()

    def measure(self, a: Named, b: Named | None = None, by: str | None = None) -> dict[str, Any]:
        """Returns what `a` loses compared with `b`, or with the source if `b` is None: the figures of `evaluate`,
        without digests. `by` also measures every part of `a` alone. Raises what the forward pass raises."""
        wanted = parts(self.checkpoint, a.weights, by) if by is not None and a.weights is not None else {}
        source = self._source({first_layer(groups, self.run.layers) for groups in wanted.values()})
        models: dict[str, Logits] = {SOURCE: source.logits}
        for model in (a, b):
            if model is not None:
                models[model.name] = self._logits(model, source)
        data = result(self.run.torch, models, a, b, self.text)
        if by is not None:
            data["by"] = {"way": by, "parts": [self._part(*part, a, source) for part in wanted.items()]}
        data["unreached_experts"] = sum(self.run.unreached.values())
        data["versions"] = self.run.reference.library.versions
        for kept in self.held:
            kept.clear()
        return data

    def _source(self, keep: set[int]) -> Final:
        """Returns the source's pass. If states before some layers are needed later, it is not resumed, because they
        must be computed."""
        if not keep:
            return self._through(SOURCE, self.exact)
        run = self.run
        states = run.begin(self.exact, SOURCE)
        for layer in range(run.layers + 1):
            self.told(SOURCE, layer, run.layers)
            if layer in keep:
                held = run.room.array(f"before {layer}", run.shape)
                held[...] = states
                self.before[layer] = held
            if layer < run.layers:
                run.step(layer, states, self.exact)
        return run.end(states, self.exact, name=f"{SOURCE} final")

    def _logits(self, model: Named, source: Final) -> Logits:
        if model.logits is not None:
            return model.logits
        if model.weights is None:
            return source.logits
        return self._through(model.name, model.weights).logits

    def _through(self, name: str, weights: Weights) -> Final:
        place = self.kept(name) if self.kept is not None else None
        self.held += [place] if place is not None else []
        final = advance(self.run, weights, None, place, lambda done, total: self.told(name, done, total), "states")
        return Final(final.reference, final.hidden.copy(), final.head)

    def _part(self, name: str, groups: tuple[Group, ...], a: Named, source: Final) -> dict[str, Any]:
        """Returns one part of `a` alone, with everything else from the source: its effect on the loss, and its KL to
        the source."""
        assert a.weights is not None
        run = self.run
        weights = Mixed(self.exact, a.weights, (group.names for group in groups), name)
        first = first_layer(groups, run.layers)
        states = run.room.array("part", run.shape)
        if first:
            states[...] = self.before[first]
        else:
            states = run.begin(weights, "part")
        for layer in range(first, run.layers):
            self.told(name, layer, run.layers)
            run.step(layer, states, weights)
        final = run.end(states, weights, name="part final")
        self.told(name, run.layers, run.layers)
        found = scores(run.torch, {SOURCE: source.logits, name: final.logits}, self.text, [(name, SOURCE)])
        data = compared(found[name], found[SOURCE], SOURCE, self.text)
        return {"part": name, "modules": [group.slot.stem for group in groups]} | data


def result(torch: Any, models: Mapping[str, Logits], a: Named, b: Named | None, text: Text) -> dict[str, Any]:
    """Returns the figures of `a` at the top, and those of what it is compared with under `against`."""
    other = SOURCE if b is None else b.name
    pairs = [(a.name, other)] if b is None else [(a.name, other), (a.name, SOURCE), (b.name, SOURCE)]
    found = scores(torch, models, text, pairs)
    mine, theirs = found[a.name], found[other]
    data = {"tokens": len(mine.loss)} | alone(mine, text) | compared(mine, theirs, other, text)
    data["against"] = alone(theirs, text)
    if b is not None:
        source = found[SOURCE]
        gap = mine.to[SOURCE][0] - theirs.to[SOURCE][0]
        data["to_source"] = {
            "a": compared(mine, source, SOURCE, text),
            "b": compared(theirs, source, SOURCE, text),
            "kl_difference": figures(gap, owners(text)),
            "source": alone(source, text),
        }
    if len(text.files) > 1:
        data["texts"] = [by_file(mine, theirs, other, text, number) for number in range(len(text.files))]
    return data


def by_file(mine: Scores, theirs: Scores, other: str, text: Text, number: int) -> dict[str, Any]:
    """Returns the figures of one file of the text."""
    inside = np.array([sequence.file for sequence in text.sequences])[owners(text)] == number
    gap, same = mine.to[other]
    return {
        "name": text.files[number][0],
        "tokens": int(inside.sum()),
        "nll": float(mine.loss[inside].mean()),
        "delta_nll": float((mine.loss - theirs.loss)[inside].mean()),
        "kl": float(gap[inside].mean()),
        "same_top": float(same[inside].mean()),
    }
