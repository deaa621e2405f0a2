"""`importance: file` for ggml types: from an imatrix to the bytes of each expert; what is refused before any work."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from gguf import GGUFReader

from dsv4recipe import RecipeError, build, make_plan, open_checkpoint
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.checkpoint.synth import synthesize
from dsv4recipe.cli.main import run
from dsv4recipe.importance.read import load_importance
from dsv4recipe.recipe.load import parse_recipe
from dsv4recipe.recipe.parents import read_parent
from tests.gguf.recipes import text_of
from tests.gguf.stock import stock, values
from tests.importance.files import stacks, write_dat, write_gguf

WEIGHED = text_of("ds4-q2").replace("runtime: ds4", "runtime: llama.cpp").replace(
    "  backends: [metal, cuda, cpu]\n", "").replace("importance: energy", "importance: file").replace(
    "type: Q2_K, importance: none", "type: Q2_K, importance: file"
)  # fmt: skip
EXPERTS = {
    "blk.0.ffn_gate_exps.weight": ("layers.0.ffn.experts.{E}.w1", "IQ2_XXS"),
    "blk.0.ffn_up_exps.weight": ("layers.0.ffn.experts.{E}.w3", "IQ2_XXS"),
    "blk.0.ffn_down_exps.weight": ("layers.0.ffn.experts.{E}.w2", "Q2_K"),
}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    folder = tmp_path_factory.mktemp("weighed") / "source"
    return open_checkpoint(synthesize(folder, preset="tiny-256", layers=1, experts=2).root)


@pytest.fixture(scope="module")
def recipe(small: Checkpoint) -> Path:
    path = small.folder.root.parent / "weighed.yaml"
    path.write_text(WEIGHED)
    return path


@pytest.fixture(scope="module")
def experts(small: Checkpoint) -> dict[str, np.ndarray]:
    return {name: vectors for name, vectors in stacks(small).items() if name in EXPERTS}


@pytest.fixture(scope="module")
def dat(small: Checkpoint, experts: dict[str, np.ndarray]) -> Path:
    return write_dat(small.folder.root.parent / "i.dat", experts)


def test_every_expert_is_found_with_its_own_columns(
    small: Checkpoint, experts: dict[str, np.ndarray], dat: Path, tmp_path: Path
) -> None:
    """The bytes are those of ggml_quantize_chunk with the file's very numbers, from either form of the file."""
    counts = {name: np.full(len(vectors), 4, np.float32) for name, vectors in experts.items()}
    other = write_gguf(tmp_path / "i.gguf", {name: vectors * 4 for name, vectors in experts.items()}, counts)
    for path in (dat, other):
        given = load_importance(path)
        plan = make_plan(parse_recipe(WEIGHED, "r.yaml", read_parent), small, importance=given)
        out = build(plan, small, tmp_path / f"{path.suffix[1:]}.gguf", importance=given)
        tensors = {tensor.name: tensor for tensor in GGUFReader(out).tensors}
        for name, (stem, type_) in EXPERTS.items():
            stored = tensors[name].data.reshape(2, -1)
            for expert, matrix in enumerate(values(small, stem)):
                assert np.array_equal(stored[expert], stock(type_, matrix, experts[name][expert]).ravel())


def test_the_command_line_takes_the_file_and_says_where_it_is_missing(
    capsys: pytest.CaptureFixture[str], small: Checkpoint, recipe: Path, dat: Path, tmp_path: Path
) -> None:
    source = ("--source", str(small.folder.root))
    out = tmp_path / "q2.gguf"
    assert run(["build", str(recipe), *source, "-o", str(out), "--importance", str(dat)]) == 0
    manifest = json.loads((tmp_path / "q2.gguf.manifest.json").read_text())
    assert manifest["contents"]["importance"]["sha256"] == load_importance(dat).sha256
    capsys.readouterr()
    for more, codes in (((), ["V309"]), (("--importance", str(dat)), [])):
        assert run(["verify", str(out), *source, *more, "--json"]) == 0
        steps = json.loads(capsys.readouterr().out)["steps"]
        assert [finding["code"] for step in steps for finding in step["findings"]] == codes
    assert run(["build", str(recipe), *source, "-o", str(tmp_path / "never.gguf")]) == 1
    assert "error[I011]" in capsys.readouterr().err
    assert not list(tmp_path.glob("never*"))


SPOILED = [
    (lambda v: v[:, :-1], "its entry has"),
    (lambda v: v[:1], "its entry has"),
    (lambda v: np.where(np.arange(v.shape[1]) == 3, np.nan, v), "layers.0.ffn.experts.0.w1.weight: column 3 is nan"),
    (lambda v: np.where(np.arange(v.shape[1]) == 3, -1, v), "column 3 is negative"),
    (lambda v: v * np.array([[1], [0]]), "layers.0.ffn.experts.1.w1.weight: every column is 0"),
    (None, "layers.0.ffn.experts.0.w1.weight has no entry"),
]


@pytest.mark.parametrize(("spoil", "said"), SPOILED)
def test_a_file_that_would_spoil_blocks_is_refused_at_plan(  # type: ignore[no-untyped-def]
    small: Checkpoint, experts: dict[str, np.ndarray], tmp_path: Path, spoil, said: str
) -> None:
    name = "blk.0.ffn_gate_exps.weight"
    spoiled = {key: vectors for key, vectors in experts.items() if key != name}
    if spoil is not None:
        spoiled[name] = spoil(experts[name]).astype(np.float32)
    given = load_importance(write_dat(tmp_path / "i.dat", spoiled))
    with pytest.raises(RecipeError) as caught:
        make_plan(parse_recipe(WEIGHED, "r.yaml", read_parent), small, importance=given)
    (found,) = caught.value.diagnostics
    assert found.code == "I010"
    assert said in found.notes[0]
