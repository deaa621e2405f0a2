"""The proof of a bundle against a source under other names, or stored in another way: its numbers and its runtime."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dsv4recipe import build, make_plan, open_checkpoint, verify
from dsv4recipe.checkpoint.dialects import transformers_name
from dsv4recipe.recipe.load import parse_recipe
from dsv4recipe.verifier.runtime.child import available_loaders
from dsv4recipe.verifier.runtime.dense_source import NAME, readable
from dsv4recipe.verifier.runtime.probe.source import decode
from dsv4recipe.verifier.runtime.step import RuntimeRun
from tests.inputs.sources import Tensors, changed_copy
from tests.inputs.stored import experts, scales_as, to_bf16, to_fp8
from tests.recipes import changed


def transformers(tensors: Tensors) -> None:
    to_bf16(tensors, [name for name in experts(tensors) if ".experts.3." in name])
    for name in list(tensors):
        raw = tensors.pop(name)
        if not name.startswith("mtp."):
            tensors[("" if name.startswith("head.") else "model.") + transformers_name(name)] = raw


def prefixed(tensors: Tensors) -> None:
    scales_as("F32")(tensors)
    to_fp8(tensors, [name for name in experts(tensors) if name.startswith("layers.1.")][:8])
    for name in list(tensors):
        tensors[f"language_model.{name}"] = tensors.pop(name)


@pytest.mark.parametrize("change", [transformers, prefixed, scales_as("U8")])
def test_the_child_reads_the_same_numbers(change: Callable[[Tensors], None], tiny_source: Path, tmp_path: Path) -> None:
    checkpoint = open_checkpoint(changed_copy(tiny_source, tmp_path / "source", change))
    with readable(checkpoint) as listed:
        assert listed.name == NAME
        config, found = decode(listed)
    plain, wanted = decode(tiny_source)
    assert config == plain
    assert found.keys() == wanted.keys()
    assert all(np.array_equal(found[name], wanted[name]) for name in wanted)


def test_a_source_as_released_is_read_by_the_child_itself(tiny_source: Path) -> None:
    with readable(open_checkpoint(tiny_source)) as place:
        assert place == tiny_source


def test_a_runtime_is_compared_with_such_a_source(tiny_source: Path, tmp_path: Path) -> None:
    state = next(each for each in available_loaders() if each.name == "jang-strict")
    if not state.ready:
        pytest.skip(f"jang-strict: {state.reason}")
    source = changed_copy(tiny_source, tmp_path / "source", transformers)
    checkpoint = open_checkpoint(source)
    plan = make_plan(parse_recipe(changed("mtp: keep", "mtp: drop"), "recipe.yaml"), checkpoint)
    bundle = build(plan, checkpoint, tmp_path / "bundle")
    found = verify(bundle, source, runtime=RuntimeRun("jang-strict"))
    assert found.ok, "\n".join(each.render() for step in found.steps for each in step.findings)
    assert any("compared with the dense source: cosine" in fact for step in found.steps for fact in step.facts)
