"""`verify --runtime` as a user types it: every runtime, any size, a question and its answer."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from dsv4recipe import build, load_recipe, make_plan, open_checkpoint
from dsv4recipe.answers.environments import FOLDER_VARIABLE
from dsv4recipe.builder.hollow import build_headers
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.checkpoint.synth_files import special_tokens
from dsv4recipe.cli.main import run
from dsv4recipe.verifier.runtime.child import Question, probe_runtime

Captured = pytest.CaptureFixture[str]
RAPID = "DSV4RECIPE_RAPID_MLX_PYTHON"
VLM = "DSV4RECIPE_MLX_VLM_PYTHON"
QUESTION = "What is 17+28?"


def python_of(variable: str) -> str:
    if variable not in os.environ:
        pytest.skip(f'{variable} is not set: eval "$(sh scripts/runtimes)"')
    return os.environ[variable]


@pytest.fixture(scope="module")
def bundle(tiny_source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`native` of a tiny checkpoint with a real tokenizer: byte-level BPE, trained on a few lines."""
    tokenizers = pytest.importorskip("tokenizers", reason="tokenizers is not installed: scripts/setup dev,runtimes")
    root = tmp_path_factory.mktemp("asked")
    source = Path(shutil.copytree(tiny_source, root / "source"))
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    special = sorted(special_tokens(512), key=special_tokens(512).__getitem__)
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    trainer = tokenizers.trainers.BpeTrainer(vocab_size=512, special_tokens=special, initial_alphabet=alphabet)
    tokenizer.train_from_iterator([QUESTION, "17 and 28 are 45, and what is 45?"] * 9, trainer)
    tokenizer.save(str(source / "tokenizer.json"))
    checkpoint = open_checkpoint(source)
    return build(make_plan(load_recipe("native"), checkpoint), checkpoint, root / "native")


def verified(capsys: Captured, *arguments: str | Path) -> tuple[int, dict[str, Any]]:
    code = run(["verify", *map(str, arguments), "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_all_runs_what_is_there_and_names_what_is_not(
    bundle: Path, capsys: Captured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rapid = python_of(RAPID)
    for variable in (RAPID, VLM):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))  # no environment is installed there
    code, told = verified(capsys, bundle, "--runtime", "all", "--runtime-python", f"rapid-mlx={rapid}")
    assert code == 0
    vlm, ran = told["steps"][-2:]
    assert (vlm["name"], vlm["facts"], vlm["findings"][0]["code"]) == ("runtime mlx-vlm", [], "V230")
    assert (ran["name"], ran["ok"], ran["findings"]) == ("runtime rapid-mlx", True, [])
    assert any("136 tokens (past the sliding window and the indexer's top-k) and 4 decoded" in f for f in ran["facts"])
    code, told = verified(capsys, bundle, "--runtime", "all")
    assert code == 4
    assert [f["code"] for step in told["steps"] for f in step["findings"]] == ["V230", "V230", "V231"]


def test_an_answer_is_shown_and_held_against_what_was_expected(bundle: Path, capsys: Captured) -> None:
    """The model is random, so what it says is noise; greedy decoding says the same noise twice."""
    rapid = python_of(RAPID)
    said = probe_runtime(bundle, "rapid-mlx", Path(rapid), tokens=0, question=Question(QUESTION, limit=6)).answer
    assert said is not None
    assert (said.tokens, said.finite) == (6, True)
    assert 4 < said.prompt_tokens <= 4 + len(QUESTION)  # BOS, two roles, the end of thinking, and merged bytes
    ask = [bundle, "--runtime", "rapid-mlx", "--load-only", "--max-tokens", "6", "--generate", QUESTION]
    code, told = verified(capsys, *ask, "--expect", "45")
    assert code == 3
    (finding,) = told["steps"][-1]["findings"]
    assert finding["code"] == "V227"
    assert repr(said.text) in finding["message"]
    code, told = verified(capsys, *ask, "--expect", said.text.strip())
    assert (code, told["ok"]) == (0, True)
    assert f"it said {said.text!r}" in told["steps"][-1]["facts"]


def test_a_bundle_without_a_prompt_format_cannot_be_asked(bundle: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(bundle, tmp_path / "bundle"))
    shutil.rmtree(copy / "encoding")
    (copy / "chat_template.jinja").unlink()
    result = probe_runtime(copy, "rapid-mlx", Path(python_of(RAPID)), tokens=0, question=Question(QUESTION))
    assert [(f.stage, f.kind) for f in result.failures] == [("answer", "FileNotFoundError")]


def test_a_full_size_bundle_is_loaded_only(full: Checkpoint, tmp_path: Path) -> None:
    """156 GB by headers, in the strict loader of Rapid-MLX, in a few seconds and little memory."""
    out = build_headers(make_plan(load_recipe("native"), full), full, tmp_path / "native")
    result = probe_runtime(out, "rapid-mlx", Path(python_of(RAPID)), tokens=0)
    assert (result.loaded, result.forward) == (True, None)
    assert "loaded only, nothing was run" in result.facts
    assert 0 < result.memory.peak < 2 * 2**30


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--generate", "hello"], "--generate needs --runtime"),
        (["--load-only"], "--load-only needs --runtime"),
        (["--runtime", "jang", "--expect", "45"], "--expect needs --generate"),
        (["--runtime", "jang", "--memory-limit", "64"], "'64' is not a size with a unit"),
        (["--runtime", "jang", "--max-tokens", "0"], "0 is not in the range"),
    ],
)
def test_wrong_usage_is_said(capsys: Captured, q4q8_bundle: Path, arguments: list[str], said: str) -> None:
    assert run(["verify", str(q4q8_bundle), *arguments]) == 64
    assert said in capsys.readouterr().err


def test_mlx_lm_is_refused_with_the_reason_and_nothing_is_started(capsys: Captured, q4q8_bundle: Path) -> None:
    assert run(["verify", str(q4q8_bundle), "--runtime", "mlx-lm", "--runtime-python", "/nowhere"]) == 3
    shown = capsys.readouterr().out
    assert "error[V229]: mlx-lm cannot load bundles of deepseek_v4," in shown
    assert "FAILED  runtime mlx-lm\n" in shown
