"""The layer-streamed pass gives the whole model's logits, from a checkpoint, a plan and a bundle, killed or not."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.quality.models import stand_in
from dsv4recipe import build, load_recipe, make_plan, open_checkpoint
from dsv4recipe.checkpoint.graph import Checkpoint, Group
from dsv4recipe.checkpoint.synth import synthesize
from dsv4recipe.errors import RecipeError
from dsv4recipe.forward.run import Final, Settings, forward
from dsv4recipe.forward.states import Kept
from dsv4recipe.forward.stored import BundleWeights
from dsv4recipe.forward.taps import Tap
from dsv4recipe.forward.weights import PlannedWeights, SourceWeights, Weights
from dsv4recipe.recipe.load import parse_recipe
from dsv4recipe.recipe.shipped import recipe_path
from dsv4recipe.verifier.runtime.probe import torch_reference
from tests.forward.conftest import whole_logits, whole_model
from tests.measuring import YARDSTICK, needs_torch
from tests.recipes import UNGUIDED

pytestmark = needs_torch
Sequences = list[NDArray[Any]]
NOT_HERE = {"q3-mixed-v41", "native-dspark", "ds4-mtp"}
"""Recipes of another checkpoint than the yardstick: V4.1, DSpark, an MTP stage alone."""
RECIPES = ("q4q8", "jangtq2", "ds4-q2")
if os.environ.get("DSV4RECIPE_CASES"):
    RECIPES = tuple(name for name in UNGUIDED if name not in NOT_HERE)


def split(final: Final, sequences: Sequences) -> list[NDArray[Any]]:
    edges = np.cumsum([0, *map(len, sequences)])
    return [final.logits(int(a), int(b)).numpy() for a, b in pairwise(edges)]


def run(checkpoint: Checkpoint, weights: Weights, sequences: Sequences, **more: Any) -> list[NDArray[Any]]:
    return split(forward(checkpoint, weights, sequences, **more), sequences)


def test_the_source_is_as_transformers_loads_it(yardstick: Checkpoint, sequences: Sequences, tmp_path: Path) -> None:
    model, names = torch_reference.load(YARDSTICK / "checkpoint", tmp_path)
    assert not any(names.values())
    weights = SourceWeights(yardstick)
    for sequence, beside in zip(sequences, run(yardstick, weights, sequences), strict=True):
        (ours,) = run(yardstick, weights, [sequence])
        assert np.abs(ours - torch_reference.logits(model, sequence.tolist())).max() <= 1e-5
        assert np.abs(ours - beside).max() <= 1e-4, "others beside it change the shapes of matrix products: rounding"


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_plan_and_its_bundle_are_the_whole_model_with_their_numbers(
    recipe: str, yardstick: Checkpoint, sequences: Sequences, tmp_path: Path
) -> None:
    plan = make_plan(stand_in(load_recipe(recipe), yardstick)[0], yardstick)
    planned = PlannedWeights(plan, yardstick)
    bundle = build(plan, yardstick, tmp_path / ("bundle.gguf" if recipe.startswith("ds4") else "bundle"))
    stored = run(yardstick, BundleWeights(bundle, yardstick), sequences)
    model = whole_model(yardstick, planned)
    for beside, theirs, sequence in zip(run(yardstick, planned, sequences), stored, sequences, strict=True):
        assert np.array_equal(beside, theirs)
        (ours,) = run(yardstick, planned, [sequence])
        assert np.abs(ours - whole_logits(model, sequence)).max() <= 1e-5
        assert np.abs(ours - beside).max() <= 1e-4


class Killed(Exception):  # noqa: N818 - stands for a signal
    pass


class Dies(Tap):
    """Sees the layers, and dies after one of them."""

    def __init__(self, after: int = -1) -> None:
        self.after = after
        self.layers: list[int] = []

    def layer(self, layer: int) -> None:
        self.layers.append(layer)
        if layer == self.after:
            raise Killed


def test_a_killed_run_goes_on_with_the_same_digits(yardstick: Checkpoint, sequences: Sequences, tmp_path: Path) -> None:
    weights = SourceWeights(yardstick)
    whole = run(yardstick, weights, sequences)
    for after in (0, 3, 5):
        kept = Kept(tmp_path / "work", "the same run", every=0)
        with pytest.raises(Killed):
            forward(yardstick, weights, sequences, Dies(after), kept=kept)
        tap = Dies()
        assert kept.layer == after
        again = run(yardstick, weights, sequences, tap=tap, kept=kept)
        assert tap.layers == list(range(after, 6))
        assert all(map(np.array_equal, whole, again))
        assert not list((tmp_path / "work").iterdir())
    with pytest.raises(Killed):
        forward(yardstick, weights, sequences, Dies(3), kept=Kept(tmp_path / "work", "this run", every=0))
    assert Kept(tmp_path / "work", "another run").layer == 0


def test_states_on_disk_and_other_workers_change_nothing(
    yardstick: Checkpoint, sequences: Sequences, tmp_path: Path
) -> None:
    weights = SourceWeights(yardstick)
    settings = Settings(states=0, scratch=tmp_path / "scratch", workers=3)
    again = run(yardstick, weights, sequences, settings=settings)
    assert all(map(np.array_equal, run(yardstick, weights, sequences), again))
    assert not list((tmp_path / "scratch").iterdir())


class Counts(SourceWeights):
    """A source that counts what is asked of it."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__(checkpoint)
        self.asked: list[tuple[str, int]] = []

    def tensor(self, group: Group, number: int = 0) -> NDArray[Any]:
        self.asked.append((group.names, number))
        return super().tensor(group, number)

    def rows(self, group: Group, wanted: NDArray[Any]) -> NDArray[Any]:
        self.asked.append((group.names, 0))
        return super().rows(group, wanted)


def test_every_tensor_is_used_exactly_once(yardstick: Checkpoint, dev: NDArray[Any]) -> None:
    weights = Counts(yardstick)
    forward(yardstick, weights, [dev[:512]])
    main = [group for group in yardstick.groups if group.slot.block == "main"]
    assert sorted(weights.asked) == sorted((group.names, n) for group in main for n in range(len(group.members)))


class Sees(Tap):
    """Keeps what it sees of one layer."""

    def __init__(self) -> None:
        self.inputs: dict[str, list[NDArray[Any]]] = {}
        self.block: list[NDArray[Any]] = []
        self.parts: list[tuple[NDArray[Any], ...]] = []
        self.values: list[NDArray[Any]] = []

    def wants(self, group: Group) -> bool:
        return group.slot.layer in (4, None)

    def linear(self, group: Group, first: int, inputs: NDArray[Any]) -> None:
        assert first == sum(map(len, self.inputs.get(group.names, [])))
        self.inputs.setdefault(group.names, []).append(inputs.copy())

    def experts(self, layer: int, inputs: NDArray[Any], ids: NDArray[Any], weights: NDArray[Any]) -> None:
        if layer == 4:
            self.block = [inputs.copy(), ids.copy(), weights.copy()]

    def wants_expert(self, layer: int) -> bool:
        return layer == 4

    def expert(self, layer: int, expert: int, *arrays: NDArray[Any]) -> None:
        assert layer == 4
        self.parts.append((np.full(len(arrays[0]), expert), *(array.copy() for array in arrays)))

    def wants_logits(self) -> bool:
        return True

    def logits(self, first: int, values: NDArray[Any]) -> None:
        assert first == sum(map(len, self.values))
        self.values.append(values.copy())


def test_taps_see_the_inputs_of_every_matrix_and_expert(yardstick: Checkpoint, sequences: Sequences) -> None:
    tap, weights = Sees(), SourceWeights(yardstick)
    final = forward(yardstick, weights, sequences, tap)
    tokens = sum(map(len, sequences))
    matrices = [
        group
        for group in yardstick.groups
        if group.slot.block == "main" and group.slot.layer == 4 and group.slot.row.projection and not group.experts
    ]
    assert {group.names for group in matrices} | {"head.weight"} == set(tap.inputs)
    for group in matrices:
        seen = np.concatenate(tap.inputs[group.names])
        assert seen.shape[0] == tokens
        assert seen.shape[-1] == group.shape[1]
    inputs, ids, routing = tap.block
    assert np.array_equal(inputs, np.concatenate(tap.inputs["layers.4.ffn.shared_experts.w1.weight"]))
    assert np.array_equal(np.concatenate(tap.inputs["head.weight"]), final.hidden)
    assert np.array_equal(np.concatenate(tap.values), final.logits(0, tokens).numpy())
    experts, seen, rows, scale, inner = (np.concatenate(each) for each in zip(*tap.parts, strict=True))
    assert sorted(zip(seen, experts, strict=True)) == sorted((t, e) for t in range(tokens) for e in ids[t])
    assert np.array_equal(rows, inputs[seen])
    place = np.argmax(ids[seen] == experts[:, None], 1)
    assert np.array_equal(scale, routing[seen, place])
    gate = {g.slot.row.projection: g for g in yardstick.groups if g.slot.layer == 4 and g.experts}
    one = int(experts[0])
    left, right = (rows[experts == one] @ weights.tensor(gate[name], one).T for name in ("gate", "up"))
    left, right = np.minimum(left, 10), np.clip(right, -10, 10)
    assert np.allclose(inner[experts == one], left / (1 + np.exp(-left)) * right, atol=1e-4)


@contextmanager
def refused(code: str) -> Iterator[None]:
    with pytest.raises(RecipeError) as caught:
        yield
    assert caught.value.diagnostics[0].code == code


def test_what_cannot_be_measured_is_refused_by_name(
    yardstick: Checkpoint, tiny: Checkpoint, monkeypatch: pytest.MonkeyPatch, sequences: Sequences
) -> None:
    weights = SourceWeights(yardstick)
    with refused("M012"):
        PlannedWeights(make_plan(load_recipe("q4q8"), tiny), yardstick)
    with refused("M003"):
        forward(yardstick, weights, sequences, settings=Settings(device="abacus"))
    with monkeypatch.context() as without, refused("M001"):
        without.setitem(sys.modules, "torch", None)
        forward(yardstick, weights, sequences)


def test_another_family_has_no_forward_pass(tmp_path: Path, sequences: Sequences) -> None:
    other = open_checkpoint(synthesize(tmp_path / "v41", "v4.1-flash").root)
    with refused("M002"):
        forward(other, SourceWeights(other), sequences)


def test_a_bundle_of_another_checkpoint_is_refused(yardstick: Checkpoint, q4q8_bundle: Path) -> None:
    with refused("M012"):
        BundleWeights(q4q8_bundle, yardstick)


def test_a_value_that_the_format_cannot_hold_is_named(yardstick: Checkpoint) -> None:
    text = recipe_path("q4q8").read_text(encoding="utf-8")
    exact = parse_recipe(text.replace("bits: 4, group-size: 32", "bits: 2, group-size: 32, fit: exact"), "exact.yaml")
    weights = PlannedWeights(make_plan(exact, yardstick), yardstick)
    with refused("M011"):
        weights.tensor(next(group for group in yardstick.groups if group.experts), 1)


def test_a_file_that_ends_too_early_is_named(yardstick: Checkpoint, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(YARDSTICK / "checkpoint", tmp_path / "copy"))
    weights = SourceWeights(open_checkpoint(copy))
    for path in copy.glob("*.safetensors"):
        with path.open("r+b") as stream:
            stream.truncate(4096)
    with refused("M010"):
        weights.tensor(next(group for group in yardstick.groups if group.experts), 1)
